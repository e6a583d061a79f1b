"""Tests of a bucket as the source of specs, against a real HTTP server that speaks S3 (moto's)."""
