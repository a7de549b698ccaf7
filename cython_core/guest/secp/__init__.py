"""Signatures inside a proof: tables and hints of the guest's verification."""
