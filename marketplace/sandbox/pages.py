"""The frame of a sandbox's pages for people."""

from html import escape
from typing import Final

_STYLE: Final = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1d2433; background: #f4f5f7; margin: 0; }
main { max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
.card { background: #fff; border: 1px solid #d9dde5; border-radius: 8px; padding: 1.5rem; margin-bottom: 1.5rem;
  overflow-x: auto; }
.narrow { max-width: 28rem; margin: 4rem auto; }
h1 { font-size: 1.4rem; margin: 0 0 1rem; } h2 { font-size: 1.1rem; margin: 0 0 .75rem; }
.amount { font-size: 2rem; font-weight: 600; margin: .5rem 0 1rem; }
button { font: inherit; padding: .6rem 1.2rem; border-radius: 6px; border: 1px solid #1f6f43; cursor: pointer;
  background: #1f6f43; color: #fff; margin: 0 .5rem .5rem 0; }
button.no { background: #fff; color: #9b1c1c; border-color: #9b1c1c; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; padding: .35rem .75rem .35rem 0;
  border-bottom: 1px solid #e6e9ef; white-space: nowrap; } td.n, th.n { text-align: right; }
td.long { white-space: normal; min-width: 10rem; }
td code { display: inline-block; min-width: 10rem; white-space: normal; word-break: break-all; }
@media (max-width: 40rem) { th, td { white-space: normal; } td.long { min-width: 5rem; } .card { padding: 1rem; } }
small, .quiet { color: #5a6376; } a { color: #1a4f8b; } code { font-size: .85em; }
"""


def page(title: str, content: str) -> str:
    """Return a whole page around `content` (HTML)."""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head>'
        f"<body><main>{content}</main></body></html>"
    )


def nothing_here() -> str:
    return page("Not found", '<div class="card narrow"><h1>There is nothing at this address.</h1></div>')


def moment(iso: str) -> str:
    """A time as people read it."""
    return iso.replace("T", " ")[:19]
