# A robot may look, charge, and take steps of one cell.
package autonomy

default decision := {
	"allow": false,
	"reason": "the robot does nothing of this kind",
	"rule": "gazebo_default_deny",
}

decision := {"allow": true, "rule": "gazebo_look"} if input.kind == "tool.gazebo.state"

decision := {"allow": true, "rule": "gazebo_charge"} if input.kind == "tool.gazebo.charge"

decision := {"allow": true, "rule": "gazebo_step"} if {
	input.kind == "tool.gazebo.move"
	one_cell
}

decision := {
	"allow": false,
	"reason": "a step is at most one cell",
	"rule": "gazebo_leap_deny",
} if {
	input.kind == "tool.gazebo.move"
	not one_cell
}

one_cell if {
	is_number(input.params.dx)
	is_number(input.params.dy)
	abs(input.params.dx) + abs(input.params.dy) == 1
}
