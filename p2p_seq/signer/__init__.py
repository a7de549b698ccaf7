"""Secrets and what may be signed with them; no other room can sign."""
