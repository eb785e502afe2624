"""Cloud Firestore for the local cloud: google.firestore.v1 over gRPC."""

from emulators.firestore.service import Firestore

__all__ = ["Firestore"]
