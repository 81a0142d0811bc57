//! Receives OTLP logs over HTTP, keeps them as JSON lines, forwards them to the control plane.
