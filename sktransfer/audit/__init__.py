"""Audit: what is wrong with a set of images before anybody trains on it."""

from sktransfer.audit.auditing import audit_images

__all__ = ["audit_images"]
