# What no other rule allows is denied.
package autonomy

default decision := {
	"allow": false,
	"reason": "no rule allows this tool",
	"rule": "default_deny",
}
