"""Telling people: one small interface, its channels, and an outbox in the lake. No Dagster here.

`alert` says what a message is, each channel's file how it is delivered, `outbox` that each is delivered once.
"""
