use super::*;
use crate::auth::{
    access::{Change, tests::*},
    role::Predefined,
};

const PERMISSION: Permission = Permission::RbacManage;

/// Who calls, in the words of the written table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Nobody,
    Holder,
    Other,
    Node,
    Invalid,
}

/// What is needed, in the words of the written table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Nothing,
    Permission,
    OwnNode,
    OtherNode,
    Bootstrap,
}

#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "the columns of a truth table")]
struct Case {
    what: What,
    who: Who,
    certificate: bool,
    enforcement: bool,
    break_glass: bool,
    closed: bool,
    loopback: bool,
    /// `None`: no header; else whether it names the caller himself.
    claimed: Option<bool>,
}

const WHATS: [What; 5] =
    [What::Nothing, What::Permission, What::OwnNode, What::OtherNode, What::Bootstrap];
const WHOS: [Who; 5] = [Who::Nobody, Who::Holder, Who::Other, Who::Node, Who::Invalid];
const CLAIMS: [Option<bool>; 3] = [None, Some(true), Some(false)];

fn every_case() -> Vec<Case> {
    let people = WHATS.iter().flat_map(|&what| WHOS.map(|who| (what, who)));
    let named = people.flat_map(|(what, who)| CLAIMS.map(|claimed| (what, who, claimed)));
    let cases = named.flat_map(|(what, who, claimed)| {
        (0..32_u8).map(move |bits| Case {
            what,
            who,
            certificate: bits & 1 != 0,
            enforcement: bits & 2 != 0,
            break_glass: bits & 4 != 0,
            closed: bits & 8 != 0,
            loopback: bits & 16 != 0,
            claimed,
        })
    });
    cases.collect()
}

/// What the table is asked about: `None` stands for any.
struct Row {
    what: &'static [What],
    who: &'static [Who],
    enforcement: Option<bool>,
    break_glass: Option<bool>,
    /// Whether the door is open and the caller on this machine.
    may_bootstrap: Option<bool>,
    /// Whether the header names somebody else.
    contradicts: Option<bool>,
    want: &'static str,
}

const ANY: Row = Row {
    what: &WHATS,
    who: &WHOS,
    enforcement: None,
    break_glass: None,
    may_bootstrap: None,
    contradicts: None,
    want: "",
};
const NEEDS: &[What] = &[What::Permission, What::OwnNode, What::OtherNode, What::Bootstrap];
const PERMISSIONS: &[What] = &[What::Permission, What::Bootstrap];
const NODES: &[What] = &[What::OwnNode, What::OtherNode];
const SOMEBODY: &[Who] = &[Who::Holder, Who::Other, Who::Node];
const ON: Option<bool> = Some(true);

/// The table once more, written from what operators are promised and not from the code.
const TABLE: &[Row] = &[
    Row { what: &[What::Nothing], want: "Open", ..ANY },
    Row { what: NEEDS, who: &[Who::Invalid], want: "INVALID_CREDENTIAL", ..ANY },
    Row {
        what: NEEDS,
        who: &[Who::Nobody, Who::Holder, Who::Other, Who::Node],
        enforcement: Some(false),
        want: "EnforcementOff",
        ..ANY
    },
    Row {
        what: NEEDS,
        who: SOMEBODY,
        enforcement: ON,
        contradicts: Some(true),
        want: "OPERATOR_MISMATCH",
        ..ANY
    },
    Row {
        what: PERMISSIONS,
        who: &[Who::Holder],
        enforcement: ON,
        contradicts: Some(false),
        want: "Permission",
        ..ANY
    },
    Row {
        what: &[What::OwnNode],
        who: &[Who::Node],
        enforcement: ON,
        contradicts: Some(false),
        want: "Permission",
        ..ANY
    },
    Row {
        what: &[What::Permission],
        who: &[Who::Other],
        enforcement: ON,
        contradicts: Some(false),
        break_glass: Some(true),
        want: "BreakGlass",
        ..ANY
    },
    Row {
        what: &[What::Bootstrap],
        who: &[Who::Other],
        enforcement: ON,
        contradicts: Some(false),
        may_bootstrap: Some(false),
        break_glass: Some(true),
        want: "BreakGlass",
    },
    Row {
        what: &[What::Bootstrap],
        who: &[Who::Other],
        enforcement: ON,
        contradicts: Some(false),
        may_bootstrap: Some(true),
        want: "Bootstrap",
        ..ANY
    },
    Row {
        what: &[What::Permission],
        who: &[Who::Other],
        enforcement: ON,
        contradicts: Some(false),
        break_glass: Some(false),
        want: "PERMISSION_MISSING",
        ..ANY
    },
    Row {
        what: &[What::Bootstrap],
        who: &[Who::Other],
        enforcement: ON,
        contradicts: Some(false),
        may_bootstrap: Some(false),
        break_glass: Some(false),
        want: "PERMISSION_MISSING",
    },
    Row {
        what: PERMISSIONS,
        who: &[Who::Node],
        enforcement: ON,
        contradicts: Some(false),
        want: "PERMISSION_MISSING",
        ..ANY
    },
    Row {
        what: NODES,
        who: &[Who::Holder, Who::Other],
        enforcement: ON,
        contradicts: Some(false),
        want: "NOT_THIS_NODE",
        ..ANY
    },
    Row {
        what: &[What::OtherNode],
        who: &[Who::Node],
        enforcement: ON,
        contradicts: Some(false),
        want: "NOT_THIS_NODE",
        ..ANY
    },
    Row {
        what: &[What::Bootstrap],
        who: &[Who::Nobody],
        enforcement: ON,
        may_bootstrap: Some(true),
        want: "Bootstrap",
        ..ANY
    },
    Row {
        what: &[What::Bootstrap],
        who: &[Who::Nobody],
        enforcement: ON,
        may_bootstrap: Some(false),
        want: "UNAUTHENTICATED",
        ..ANY
    },
    Row {
        what: &[What::Permission, What::OwnNode, What::OtherNode],
        who: &[Who::Nobody],
        enforcement: ON,
        want: "UNAUTHENTICATED",
        ..ANY
    },
];

impl Row {
    fn fits(&self, case: Case) -> bool {
        let is = |wanted: Option<bool>, found: bool| wanted.is_none_or(|it| it == found);
        self.what.contains(&case.what)
            && self.who.contains(&case.who)
            && is(self.enforcement, case.enforcement)
            && is(self.break_glass, case.break_glass)
            && is(self.may_bootstrap, !case.closed && case.loopback)
            && is(self.contradicts, case.claimed == Some(false))
    }
}

/// A state in which `holder` manages roles by a certificate, so that the door is open until it is closed.
fn state(closed: bool) -> Access {
    let mut access = Access::default();
    let mut by = bootstrap();
    if closed {
        by = Allowed { because: Because::Permission, ..by };
    }
    change(&mut access, &assign("auditor", "holder"), &by).unwrap();
    change(&mut access, &assign("operator", "other"), &by).ok();
    assert_eq!(access.bootstrap_closed(), closed);
    access
}

fn name(who: Who) -> &'static str {
    match who {
        Who::Holder => "holder",
        Who::Other => "other",
        Who::Node => "node:n1",
        Who::Nobody | Who::Invalid => "claims-it",
    }
}

fn run(access: &Access, case: Case) -> Result<Allowed, Denied> {
    let subject = || subject(name(case.who));
    let identity = match (case.who, case.certificate) {
        (Who::Nobody, _) => Identity::Anonymous,
        (Who::Invalid, false) => Identity::Invalid(Invalid::Revoked),
        (Who::Invalid, true) => Identity::Invalid(Invalid::Certificate),
        (_, false) => Identity::Token(subject()),
        (_, true) => Identity::Certificate(subject()),
    };
    let need = match case.what {
        What::Nothing => Need::Nothing,
        What::Permission => Need::Permission(PERMISSION),
        What::OwnNode => Need::Node("n1"),
        What::OtherNode => Need::Node("n2"),
        What::Bootstrap => Need::BootstrapOr(PERMISSION),
    };
    let claimed = case.claimed.map(|own| if own { name(case.who) } else { "somebody-else" });
    let switches = Switches { enforcement: case.enforcement, break_glass: case.break_glass };
    decide(access, switches, Caller { identity: &identity, claimed, loopback: case.loopback }, need)
}

#[test]
fn every_case_is_decided_as_the_table_says() {
    let states = [state(false), state(true)];
    let cases = every_case();
    assert_eq!(cases.len(), 5 * 5 * 3 * 32);
    for case in cases {
        let rows: Vec<_> = TABLE.iter().filter(|it| it.fits(case)).collect();
        assert_eq!(rows.len(), 1, "{case:?} has {} rows", rows.len());
        let decided = run(&states[usize::from(case.closed)], case);
        let got = match &decided {
            Ok(allowed) => format!("{:?}", allowed.because()),
            Err(denied) => denied.code().to_owned(),
        };
        assert_eq!(got, rows[0].want, "{case:?}");
    }
}

#[test]
fn every_case_names_the_right_actor_and_leaves_the_right_event() {
    let states = [state(false), state(true)];
    for case in every_case() {
        let identified = !matches!(case.who, Who::Nobody | Who::Invalid);
        let by_itself = if identified { name(case.who) } else { ANONYMOUS };
        match run(&states[usize::from(case.closed)], case) {
            Ok(allowed) => {
                let (actor, event) = match allowed.because() {
                    Because::Open | Because::Permission => (by_itself, None),
                    Because::EnforcementOff if identified => (by_itself, None),
                    Because::EnforcementOff => match case.claimed {
                        Some(true) => (name(case.who), None),
                        Some(false) => ("somebody-else", None),
                        None => (ANONYMOUS, None),
                    },
                    Because::Bootstrap if identified => (by_itself, Some("auth.bootstrap.access")),
                    Because::Bootstrap => (BOOTSTRAP, Some("auth.bootstrap.access")),
                    Because::BreakGlass => (by_itself, Some("auth.break_glass.used")),
                };
                assert_eq!(allowed.actor(), actor, "{case:?}");
                assert_eq!(allowed.event().map(Event::as_str), event, "{case:?} (D4)");
            }
            Err(denied) => {
                assert_eq!(denied.actor(), by_itself, "{case:?}");
                assert_eq!(denied.event().as_str(), "auth.access.denied", "D4");
                let class = if identified { Class::Forbidden } else { Class::Unauthenticated };
                assert_eq!(denied.class(), class, "{case:?}");
            }
        }
    }
}

#[test]
fn every_role_has_the_permissions_of_its_own_and_no_others() {
    let on = Switches { enforcement: true, break_glass: false };
    for role in Predefined::ALL {
        let mut access = Access::default();
        let who = if role == Predefined::Node { "node:x" } else { "ada" };
        change(&mut access, &assign(role.as_str(), who), &bootstrap()).unwrap();
        let identity = Identity::Token(subject(who));
        let caller = Caller { identity: &identity, claimed: None, loopback: false };
        for permission in Permission::ALL {
            let decided = decide(&access, on, caller, Need::Permission(permission));
            let holds = role.permissions().contains(&permission);
            assert_eq!(decided.is_ok(), holds, "{role:?} {permission}");
        }
    }
}

#[test]
fn a_role_that_was_made_gives_what_it_says_until_it_is_taken_away() {
    let mut access = Access::default();
    let by = bootstrap();
    change(&mut access, &assign("auditor", "holder"), &by).unwrap();
    let by = Allowed { because: Because::Permission, ..by };
    change(&mut access, &create_role("night", &[Permission::RolloutWrite]), &by).unwrap();
    change(&mut access, &assign("night", "ada"), &by).unwrap();
    assert!(access.permits(&subject("ada"), Permission::RolloutWrite));
    assert!(!access.permits(&subject("ada"), Permission::FleetRead));
    let unassign = Change::Unassign { role: role("night"), subject: subject("ada"), force: false };
    change(&mut access, &unassign, &by).unwrap();
    assert!(!access.permits(&subject("ada"), Permission::RolloutWrite));
}

#[test]
fn only_who_is_on_this_machine_learns_that_the_door_is_open() {
    let case = Case {
        what: What::Permission,
        who: Who::Nobody,
        certificate: false,
        enforcement: true,
        break_glass: false,
        closed: false,
        loopback: true,
        claimed: None,
    };
    let text = |case: Case| run(&state(case.closed), case).unwrap_err().to_string();
    assert!(text(case).contains("autonomy rbac role assign"), "instructions");
    let plain = "a bearer token or a client certificate is needed";
    assert_eq!(text(Case { loopback: false, ..case }), plain);
    assert_eq!(text(Case { closed: true, ..case }), plain);
}
