"""Runstore: an offline-first experiment tracker."""
