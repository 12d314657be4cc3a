"""Drawing on paper: pages, fonts, codes, addresses and amounts. It knows no domain.

What is drawn here is a PDF by reportlab, the same bytes for the same content. A page is measured in millimetres from
its upper left corner. Everything that is needed comes with Python packages or lies beside this file, fonts included.
"""
