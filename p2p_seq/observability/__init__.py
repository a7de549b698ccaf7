"""What a node tells its operator: log events with typed fields, and figures for Prometheus.

Pure cores never import this room; services do.
"""
