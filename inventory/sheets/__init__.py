"""The catalogue and its stock as a sheet (CSV), out and in again.

    columns     what the columns are, and how a cell is read and written
    reading     the text of a file -> lines with their cells
    planning    lines -> what would change, compared with the shop as it is now; or what is wrong, line by line
    services    carry out a plan that somebody has seen; write the shop down as a sheet

A sheet is taken in whole or not at all, and only as it was shown: `services.take_in` plans anew under the stock's locks
and refuses when that is not the plan that was looked at. So nothing needs to be kept between preview and decision.

The format is RFC 4180's, as spreadsheet programs write it: UTF-8 with or without a byte order mark, separated by commas
or semicolons.
"""
