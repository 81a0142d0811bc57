# A stack may be started and looked at. A shell never; anything else has no rule.
package autonomy

default decision := {
	"allow": false,
	"reason": "no rule allows this tool",
	"rule": "ros2_default_deny",
}

decision := {"allow": true, "rule": "ros2_allow"} if startswith(input.kind, "tool.ros2.")

decision := {
	"allow": false,
	"reason": "shell is never allowed",
	"rule": "shell_deny",
} if input.kind == "tool.shell"
