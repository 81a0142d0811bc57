package autonomy

decision := {
	"allow": false,
	"reason": "shell is never allowed",
	"rule": "shell_deny",
} if input.kind == "tool.shell"
