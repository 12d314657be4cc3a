"""Tests of the invoicing."""
