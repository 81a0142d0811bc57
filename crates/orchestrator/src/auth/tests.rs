use std::{net::IpAddr, path::Path, time::Duration};

use axum::http::HeaderMap;
use vfs::{MemVfs, Vfs as _};

use super::{
    access::{
        Access, Change, Effect,
        tests::{assign, minted, now, token},
    },
    certificate::tests::certificate,
    decide::{Allowed, Caller, Need, decide},
    identity::{Now, OperatorInvalid, Shown, claimed, from_this_machine, identify},
    permission::Permission,
    slow::{Brake, Wait},
    switches::Switches,
};

const HERE: &str = "127.0.0.1";
const ELSEWHERE: &str = "192.0.2.7";
const MANAGE: Need<'_> = Need::BootstrapOr(Permission::RbacManage);

/// A service in small: what a shell does with a request, in the order that the module says.
struct Service {
    disk: MemVfs,
    access: Access,
    brake: Brake,
}

impl Service {
    fn start(disk: MemVfs) -> Self {
        let dir = Path::new("/data");
        disk.create_dir_all(dir).unwrap();
        let access = super::file::open(&disk, dir).unwrap();
        Self { disk, access, brake: Brake::default() }
    }

    fn restart(self) -> Self {
        self.disk.process_kill();
        Self::start(self.disk)
    }

    fn ask(
        &mut self,
        from: &str,
        headers: &HeaderMap,
        certificate: Option<&[u8]>,
        need: Need<'_>,
    ) -> Result<Allowed, &'static str> {
        let peer: IpAddr = from.parse().unwrap();
        let shown = Shown { headers, certificate, peer };
        let at = Now { wall: now(), since_start: Duration::ZERO };
        let identity = identify(shown, &self.access, &mut self.brake, at).map_err(Wait::code)?;
        let claimed = claimed(headers).map_err(OperatorInvalid::code)?;
        let loopback = from_this_machine(peer, headers);
        let caller = Caller { identity: &identity, claimed: claimed.as_deref(), loopback };
        let switches = Switches::parse(None, None).unwrap();
        decide(&self.access, switches, caller, need).map_err(|it| it.code())
    }

    fn change(&mut self, change: &Change, by: &Allowed) -> Result<Effect, &'static str> {
        let (next, effect) = self.access.apply(change, by, now()).map_err(|it| it.code())?;
        super::file::save(&self.disk, Path::new("/data"), &next).unwrap();
        self.access = next;
        Ok(effect)
    }
}

fn bearer(seed: u64) -> HeaderMap {
    let value = format!("Bearer {}", minted(seed).secret.expose());
    HeaderMap::from_iter([("authorization".parse().unwrap(), value.parse().unwrap())])
}

#[test]
fn from_an_empty_directory_to_a_service_that_only_its_auditor_manages() {
    let none = HeaderMap::new();
    let mut service = Service::start(MemVfs::default());
    assert!(service.ask(ELSEWHERE, &none, None, Need::Nothing).is_ok());
    assert_eq!(service.ask(ELSEWHERE, &none, None, MANAGE), Err("UNAUTHENTICATED"));

    // The first two calls, from the machine itself, each answered before the next, with a kill between.
    let by = service.ask(HERE, &none, None, MANAGE).unwrap();
    service.change(&assign("auditor", "ada"), &by).unwrap();
    let mut service = service.restart();
    let by = service.ask(HERE, &none, None, MANAGE).unwrap();
    service.change(&token(1, "ada", None), &by).unwrap();
    assert_eq!(service.ask(HERE, &none, None, MANAGE), Err("UNAUTHENTICATED"), "closed");
    assert_eq!(service.change(&token(9, "eve", None), &by), Err("BOOTSTRAP_CLOSED"), "too late");

    // From now on the auditor, from anywhere; others have what she gives them.
    let mut service = service.restart();
    let by = service.ask(ELSEWHERE, &bearer(1), None, MANAGE).unwrap();
    assert_eq!(by.actor(), "ada");
    for it in [assign("operator", "bob"), token(2, "bob", None), token(3, "node:n1", None)] {
        service.change(&it, &by).unwrap();
    }
    let write = Need::Permission(Permission::RolloutWrite);
    assert_eq!(service.ask(ELSEWHERE, &bearer(2), None, write).unwrap().actor(), "bob");
    assert_eq!(service.ask(HERE, &bearer(2), None, MANAGE), Err("PERMISSION_MISSING"));
    assert_eq!(service.ask(ELSEWHERE, &bearer(3), None, write), Err("PERMISSION_MISSING"));
    assert!(service.ask(ELSEWHERE, &bearer(3), None, Need::Node("n1")).is_ok());
    assert_eq!(service.ask(ELSEWHERE, &bearer(3), None, Need::Node("n2")), Err("NOT_THIS_NODE"));

    // A certificate is as good as a token, and a token that is revoked stays so after a start.
    let robot = certificate(&["robot"], &["autonomy:node:n2"]);
    assert!(service.ask(ELSEWHERE, &none, Some(&robot), Need::Node("n2")).is_ok());
    let revoke = Change::RevokeToken { id: minted(2).id, force: false };
    service.change(&revoke, &by).unwrap();
    let mut service = service.restart();
    assert_eq!(service.ask(ELSEWHERE, &bearer(2), None, write), Err("INVALID_CREDENTIAL"));
    assert!(service.ask(ELSEWHERE, &bearer(2), None, Need::Nothing).is_ok(), "health");
}

#[test]
fn one_name_in_the_header_and_another_in_the_token_is_a_mistake() {
    let mut service = Service::start(MemVfs::default());
    let none = HeaderMap::new();
    for it in [assign("operator", "bob"), token(2, "bob", None)] {
        let by = service.ask(HERE, &none, None, MANAGE).unwrap();
        service.change(&it, &by).unwrap();
    }
    let read = Need::Permission(Permission::FleetRead);
    for (name, want) in
        [("bob", None), ("ada", Some("OPERATOR_MISMATCH")), ("bootstrap", Some("OPERATOR_INVALID"))]
    {
        let mut headers = bearer(2);
        headers.insert("x-autonomy-operator", name.parse().unwrap());
        assert_eq!(service.ask(ELSEWHERE, &headers, None, read).err(), want, "{name}");
        headers.remove("authorization");
        let alone = service.ask(ELSEWHERE, &headers, None, read).err();
        assert!(alone.is_some(), "a name is no identity");
    }
}
