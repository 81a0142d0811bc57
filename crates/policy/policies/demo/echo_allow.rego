package autonomy

decision := {"allow": true, "rule": "echo_allow"} if input.kind == "tool.echo"
