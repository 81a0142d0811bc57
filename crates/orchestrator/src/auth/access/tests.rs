use std::time::Duration;

use proptest::prelude::*;
use zeroize::Zeroizing;

use super::*;
use crate::auth::{
    decide::{Allowed, Caller, Identity, Need, decide},
    event::Event,
    switches::Switches,
    token::{Minted, SECRET_BYTES, mint},
};

pub(crate) fn subject(text: &str) -> Subject {
    Subject::new(text).unwrap()
}

pub(crate) fn role(text: &str) -> RoleName {
    RoleName::new(text).unwrap()
}

pub(crate) fn now() -> Timestamp {
    "2026-07-01T00:00:00Z".parse().unwrap()
}

/// That somebody may, because enforcement is off, so that it closes no door.
pub(crate) fn anybody() -> Allowed {
    let caller = Caller { identity: &Identity::Anonymous, claimed: Some("ada"), loopback: false };
    let off = Switches { enforcement: false, break_glass: false };
    decide(&Access::default(), off, caller, Need::Permission(Permission::RbacManage)).unwrap()
}

pub(crate) fn bootstrap() -> Allowed {
    let caller = Caller { identity: &Identity::Anonymous, claimed: None, loopback: true };
    let on = Switches { enforcement: true, break_glass: false };
    decide(&Access::default(), on, caller, Need::BootstrapOr(Permission::RbacManage)).unwrap()
}

/// That somebody may, because a certificate says who he is.
fn manager() -> Allowed {
    let mut access = Access::default();
    change(&mut access, &assign("auditor", "boss"), &bootstrap()).unwrap();
    let identity = Identity::Certificate(subject("boss"));
    let caller = Caller { identity: &identity, claimed: None, loopback: false };
    let on = Switches { enforcement: true, break_glass: false };
    decide(&access, on, caller, Need::Permission(Permission::RbacManage)).unwrap()
}

pub(crate) fn assign(name: &str, who: &str) -> Change {
    Change::Assign { role: role(name), subject: subject(who), reason: Some("shift".to_owned()) }
}

fn unassign(name: &str, who: &str, force: bool) -> Change {
    Change::Unassign { role: role(name), subject: subject(who), force }
}

pub(crate) fn create_role(name: &str, permissions: &[Permission]) -> Change {
    Change::CreateRole {
        role: role(name),
        permissions: permissions.iter().copied().collect(),
        description: None,
    }
}

pub(crate) fn minted(seed: u64) -> Minted {
    let mut secret = Zeroizing::new([0; SECRET_BYTES]);
    secret[..8].copy_from_slice(&seed.to_le_bytes());
    mint(seed.to_be_bytes(), &secret)
}

pub(crate) fn token(seed: u64, who: &str, ttl: Option<u64>) -> Change {
    let Minted { id, hash, .. } = minted(seed);
    Change::CreateToken { id, hash, subject: subject(who), ttl: ttl.map(Duration::from_secs) }
}

fn revoke(seed: u64, force: bool) -> Change {
    Change::RevokeToken { id: minted(seed).id, force }
}

pub(crate) fn change(
    access: &mut Access,
    change: &Change,
    by: &Allowed,
) -> Result<Effect, &'static str> {
    let (next, effect) = access.apply(change, by, now()).map_err(|it| it.code())?;
    let expected = access.generation() + u64::from(effect != Effect::Unchanged);
    if effect != Effect::Unchanged {
        assert_eq!(next.generation(), expected);
    }
    *access = next;
    Ok(effect)
}

fn secs(n: i64) -> Timestamp {
    now() + jiff::SignedDuration::from_secs(n)
}

#[test]
fn the_door_closes_when_somebody_holds_a_key_and_neither_half_of_one_closes_it() {
    let by = bootstrap();
    for order in [
        [assign("auditor", "ada"), token(1, "ada", None)],
        [token(1, "ada", None), assign("auditor", "ada")],
    ] {
        let mut access = Access::default();
        change(&mut access, &order[0], &by).unwrap();
        assert!(!access.bootstrap_closed(), "half a key (A3)");
        for other in [assign("operator", "bob"), token(2, "bob", None), token(3, "eve", None)] {
            change(&mut access, &other, &by).unwrap();
            assert!(!access.bootstrap_closed(), "nobody of these manages roles (A3)");
        }
        change(&mut access, &order[1], &by).unwrap();
        assert!(access.bootstrap_closed(), "A3");
        let late = change(&mut access, &assign("auditor", "mallory"), &by);
        assert_eq!(late, Err("BOOTSTRAP_CLOSED"), "decided before, applied after");
        for force in [revoke(1, true), unassign("auditor", "ada", true)] {
            change(&mut access, &force, &anybody()).unwrap();
            assert!(access.bootstrap_closed(), "for good (A3)");
        }
    }
}

#[test]
fn a_manager_with_a_certificate_closes_the_door_with_the_first_change() {
    let mut access = Access::default();
    change(&mut access, &assign("auditor", "boss"), &bootstrap()).unwrap();
    assert!(!access.bootstrap_closed());
    // The role is there already, so that nothing else changes; the door is closed all the same.
    let effect = change(&mut access, &assign("auditor", "boss"), &manager());
    assert_eq!(effect, Ok(Effect::Unchanged));
    assert!(access.bootstrap_closed(), "A3");
}

#[test]
fn a_token_that_is_dead_is_no_key() {
    let mut access = Access::default();
    change(&mut access, &token(1, "ada", Some(1)), &bootstrap()).unwrap();
    let later = access.apply(&assign("auditor", "ada"), &bootstrap(), secs(1)).unwrap().0;
    assert!(!later.bootstrap_closed(), "A3");
}

#[test]
fn the_bootstrap_does_two_things_and_no_other() {
    let mut access = Access::default();
    let by = bootstrap();
    change(&mut access, &token(1, "eve", None), &by).unwrap();
    let others = [
        create_role("night", &[Permission::FleetRead]),
        Change::DeleteRole { role: role("night") },
        unassign("operator", "eve", true),
        revoke(1, true),
    ];
    for other in others {
        assert_eq!(change(&mut access, &other, &by), Err("BOOTSTRAP_CLOSED"), "{other:?}");
    }
}

#[test]
fn the_last_key_is_taken_away_only_by_force() {
    let by = anybody();
    let mut access = Access::default();
    for it in [assign("auditor", "ada"), token(1, "ada", None), token(2, "ada", Some(60))] {
        change(&mut access, &it, &by).unwrap();
    }
    assert_eq!(change(&mut access, &unassign("auditor", "ada", false), &by), Err("LAST_KEY"), "A4");
    change(&mut access, &revoke(1, false), &by).expect("another live token is there");
    assert_eq!(change(&mut access, &revoke(2, false), &by), Err("LAST_KEY"), "A4");
    for it in [assign("auditor", "bob"), token(3, "bob", None)] {
        change(&mut access, &it, &by).unwrap();
    }
    change(&mut access, &unassign("auditor", "ada", false), &by).expect("bob holds a key");
    assert_eq!(change(&mut access, &revoke(3, false), &by), Err("LAST_KEY"));
    assert_eq!(
        change(&mut access, &revoke(3, true), &by),
        Ok(Effect::Changed(Event::TokenRevoked))
    );
    let last = change(&mut access, &unassign("auditor", "bob", false), &by);
    assert_eq!(last, Err("LAST_KEY"), "also of those who come with certificates");
    change(&mut access, &unassign("auditor", "bob", true), &by).unwrap();
}

#[test]
fn what_is_so_already_changes_nothing() {
    let by = anybody();
    let mut access = Access::default();
    let night = create_role("night", &[Permission::FleetRead, Permission::WalRead]);
    let events = [
        (night.clone(), Event::RoleCreated),
        (assign("night", "ada"), Event::RoleAssigned),
        (token(1, "ada", None), Event::TokenCreated),
        (revoke(1, false), Event::TokenRevoked),
    ];
    for (it, event) in events {
        assert_eq!(change(&mut access, &it, &by), Ok(Effect::Changed(event)));
        let before = access.clone();
        let again = change(&mut access, &it, &by);
        match it {
            Change::CreateToken { .. } => assert_eq!(again, Err("TOKEN_EXISTS")),
            _ => assert_eq!(again, Ok(Effect::Unchanged)),
        }
        assert_eq!(access, before);
    }
    let other = create_role("night", &[Permission::FleetRead]);
    assert_eq!(change(&mut access, &other, &by), Err("ROLE_EXISTS"));
}

#[test]
fn what_does_not_exist_or_is_in_use_is_refused_by_name() {
    let by = anybody();
    let mut access = Access::default();
    change(&mut access, &create_role("night", &[Permission::FleetRead]), &by).unwrap();
    change(&mut access, &assign("night", "ada"), &by).unwrap();
    let delete = |name: &str| Change::DeleteRole { role: role(name) };
    let table = [
        (assign("day", "ada"), "ROLE_NOT_FOUND"),
        (delete("day"), "ROLE_NOT_FOUND"),
        (delete("night"), "ROLE_ASSIGNED"),
        (delete("operator"), "ROLE_PREDEFINED"),
        (create_role("operator", &[Permission::FleetRead]), "ROLE_PREDEFINED"),
        (create_role("day", &[Permission::NodeAct]), "ROLE_ACTS_FOR_NODES"),
        (create_role("day", &[]), "ROLE_EMPTY"),
        (unassign("night", "bob", false), "ASSIGNMENT_NOT_FOUND"),
        (unassign("operator", "ada", false), "ASSIGNMENT_NOT_FOUND"),
        (revoke(9, false), "TOKEN_NOT_FOUND"),
        (assign("node", "ada"), "ROLE_NOT_FOR_SUBJECT"),
        (assign("operator", "node:a"), "ROLE_NOT_FOR_SUBJECT"),
        (assign("night", "node:a"), "ROLE_NOT_FOR_SUBJECT"),
        (token(1, "ada", Some(0)), "TTL_OUT_OF_RANGE"),
        (token(1, "ada", Some(change::TTL_MAX.as_secs() + 1)), "TTL_OUT_OF_RANGE"),
        (token(1, "ada", Some(u64::MAX)), "TTL_OUT_OF_RANGE"),
    ];
    for (it, code) in table {
        let before = access.clone();
        assert_eq!(change(&mut access, &it, &by), Err(code), "{it:?}");
        assert_eq!(access, before, "A1");
    }
    for reason in ["", "a\nb", &"x".repeat(REASON_LEN_MAX + 1)] {
        let (role, subject) = (role("night"), subject("bob"));
        let it = Change::Assign { role, subject, reason: Some(reason.to_owned()) };
        assert_eq!(change(&mut access, &it, &by), Err("REASON_INVALID"));
    }
    change(&mut access, &unassign("night", "ada", false), &by).unwrap();
    change(&mut access, &delete("night"), &by).unwrap();
}

#[test]
fn a_node_has_its_role_by_its_name_and_no_entry() {
    let mut access = Access::default();
    let effect = change(&mut access, &assign("node", "node:a"), &bootstrap());
    assert_eq!(effect, Ok(Effect::Unchanged), "L4");
    assert_eq!(access, Access::default());
    assert!(access.permits(&subject("node:a"), Permission::NodeAct));
    assert!(!access.permits(&subject("node:a"), Permission::FleetRead));
}

#[test]
fn a_token_counts_until_it_is_revoked_or_its_time_is_over() {
    let by = anybody();
    let mut access = Access::default();
    change(&mut access, &token(1, "ada", Some(60)), &by).unwrap();
    change(&mut access, &token(2, "bob", None), &by).unwrap();
    let shown = |seed: u64| Presented::parse(minted(seed).secret.expose()).unwrap();
    assert_eq!(access.verify(&shown(1), secs(59)), Ok(&subject("ada")));
    assert_eq!(access.verify(&shown(1), secs(60)), Err(TokenState::Expired));
    assert_eq!(access.verify(&shown(3), now()), Err(TokenState::Unknown));
    let mixed = Presented { id: shown(1).id, hash: shown(2).hash };
    assert_eq!(access.verify(&mixed, now()), Err(TokenState::Unknown), "K2");
    change(&mut access, &revoke(2, false), &by).unwrap();
    assert_eq!(access.verify(&shown(2), secs(-1000)), Err(TokenState::Revoked));
}

#[test]
fn a_token_that_has_been_dead_for_longest_makes_room_and_a_live_one_never_does() {
    let by = anybody();
    let mut access = Access::default();
    change(&mut access, &token(0, "ada", None), &by).unwrap();
    let one = access.tokens.values().next().unwrap().clone();
    for seed in 1..u64::try_from(TOKENS_MAX).unwrap() {
        access.tokens.insert(minted(seed).id, one.clone());
    }
    let full = |access: &mut Access| change(access, &token(999_999, "ada", None), &by);
    assert_eq!(full(&mut access), Err("ACCESS_FULL"), "A5");
    access.tokens.get_mut(&minted(7).id).unwrap().revoked_at = Some(secs(-9));
    access.tokens.get_mut(&minted(8).id).unwrap().expires_at = Some(secs(-10));
    full(&mut access).unwrap();
    assert!(!access.tokens.contains_key(&minted(8).id), "A5");
    assert!(access.tokens.contains_key(&minted(7).id));
    assert_eq!(access.tokens.len(), TOKENS_MAX);
}

#[test]
fn roles_and_assignments_have_an_end() {
    let by = anybody();
    let mut access = Access::default();
    for n in 0..ROLES_MAX {
        let it = create_role(&format!("r{n}"), &[Permission::FleetRead]);
        access.make(&it, by.actor(), now()).unwrap();
    }
    let more = create_role("more", &[Permission::FleetRead]);
    assert_eq!(change(&mut access, &more, &by), Err("ACCESS_FULL"), "A5");
    for n in 0..ASSIGNMENTS_MAX {
        access.make(&assign("r1", &format!("s{n}")), by.actor(), now()).unwrap();
    }
    assert_eq!(change(&mut access, &assign("r2", "s1"), &by), Err("ACCESS_FULL"), "A5");
    change(&mut access, &unassign("r1", "s0", false), &by).unwrap();
    change(&mut access, &assign("r2", "s1"), &by).unwrap();
    assert_eq!(
        (access.roles().len(), access.assignments().len()),
        (ROLES_MAX, ASSIGNMENTS_MAX - 1)
    );
    assert_eq!(access.clone().check(), Ok(access));
}

fn any_change() -> impl Strategy<Value = Change> {
    let who = prop::sample::select(vec!["ada", "bob", "node:a"]);
    let name = prop::sample::select(vec!["auditor", "operator", "night", "day", "node"]);
    let permission = prop::sample::select(vec![Permission::RbacManage, Permission::FleetRead]);
    (0..6_u8, who, name, permission, 0..5_u64, any::<bool>()).prop_map(
        |(kind, who, name, permission, seed, force)| match kind {
            0 => create_role(name, &[permission]),
            1 => Change::DeleteRole { role: role(name) },
            2 => assign(name, who),
            3 => unassign(name, who, force),
            4 => token(seed, who, None),
            _ => revoke(seed, force),
        },
    )
}

proptest! {
    #[test]
    fn whatever_is_done_the_state_stays_sound_and_a_held_key_is_lost_by_force_only(
        changes in prop::collection::vec(any_change(), 1..40),
    ) {
        let by = anybody();
        let mut access = Access::default();
        for it in changes {
            let before = access.keys(now());
            let closed = access.bootstrap_closed();
            change(&mut access, &it, &by).ok();
            prop_assert_eq!(access.clone().check(), Ok(access.clone()), "A2");
            let after = access.keys(now());
            let forced = matches!(it, Change::Unassign { force: true, .. } | Change::RevokeToken { force: true, .. });
            prop_assert!(!before.held || after.held || forced, "A4: {:?}", it);
            prop_assert_eq!(access.bootstrap_closed(), closed || after.held, "A3");
        }
    }
}

#[test]
fn every_refusal_has_a_code_and_a_kind() {
    let (r, s, id) = (role("r"), subject("s"), minted(1).id);
    let all = [
        (AccessError::Reason, "REASON_INVALID", Kind::Invalid),
        (AccessError::Ttl, "TTL_OUT_OF_RANGE", Kind::Invalid),
        (AccessError::from(role::RoleError::Empty), "ROLE_EMPTY", Kind::Invalid),
        (Subject::new("").unwrap_err().into(), "SUBJECT_INVALID", Kind::Invalid),
        ("x".parse::<Permission>().unwrap_err().into(), "PERMISSION_UNKNOWN", Kind::Invalid),
        (AccessError::RoleUnknown { role: r.clone() }, "ROLE_NOT_FOUND", Kind::NotFound),
        (AccessError::RoleExists { role: r.clone() }, "ROLE_EXISTS", Kind::Conflict),
        (
            AccessError::RoleAssigned { role: r.clone(), subjects: 1 },
            "ROLE_ASSIGNED",
            Kind::Conflict,
        ),
        (
            AccessError::NotForSubject { role: r.clone(), subject: s.clone() },
            "ROLE_NOT_FOR_SUBJECT",
            Kind::Invalid,
        ),
        (AccessError::NotAssigned { role: r, subject: s }, "ASSIGNMENT_NOT_FOUND", Kind::NotFound),
        (AccessError::TokenUnknown { id: id.clone() }, "TOKEN_NOT_FOUND", Kind::NotFound),
        (AccessError::TokenExists { id }, "TOKEN_EXISTS", Kind::Conflict),
        (AccessError::RolesFull, "ACCESS_FULL", Kind::Full),
        (AccessError::AssignmentsFull, "ACCESS_FULL", Kind::Full),
        (AccessError::TokensFull, "ACCESS_FULL", Kind::Full),
        (AccessError::LastKey, "LAST_KEY", Kind::Conflict),
        (AccessError::NotInBootstrap, "BOOTSTRAP_CLOSED", Kind::Forbidden),
    ];
    for (error, code, kind) in all {
        assert_eq!((error.code(), error.kind()), (code, kind), "{error}");
        assert!(!error.to_string().ends_with('.'), "{error}");
    }
}
