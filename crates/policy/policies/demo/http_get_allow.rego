# Which endpoints may be fetched is decided by the runtime, after the policy.
package autonomy

decision := {"allow": true, "rule": "http_get_allow"} if input.kind == "tool.http_get"
