"""Answers to problems without labels: what the votes before and after an adaptation come to."""
