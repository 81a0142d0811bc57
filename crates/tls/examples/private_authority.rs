//! An authority of one's own, a server and a client of it, from PEM files: who gets in, and who does not.
//!
//! `cargo run -p tls --example private_authority`
//!
//! The handshakes are done in memory: the crate makes configurations and opens no socket.
#![expect(clippy::print_stdout, reason = "an example talks to a terminal")]

use std::{error::Error, fs, path::Path, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};
use tls::{Fault, Files, Material, Server};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let dir = std::env::temp_dir().join(format!("private-authority-{}", std::process::id()));
    fs::create_dir_all(&dir)?;
    let done = show(&dir);
    fs::remove_dir_all(&dir)?;
    done
}

fn show(dir: &Path) -> Result<()> {
    issue(dir, "ours")?;
    issue(dir, "theirs")?;
    let read = |name: &str| fs::read(dir.join(name));
    let open = Server {
        chain: read("ours-server.pem")?,
        key: read("ours-server.key")?,
        client_authorities: None,
    };
    let closed = Server { client_authorities: Some(read("ours-ca.pem")?), ..open.clone() };

    let stranger = client(dir, "theirs", None)?;
    let anonymous = client(dir, "ours", None)?;
    let known = client(dir, "ours", Some("ours"))?;
    let false_one = client(dir, "ours", Some("theirs"))?;
    for (server, name) in
        [(open, "a server for everybody"), (closed, "a server for clients of ours")]
    {
        let server = Arc::new(server.server_config()?);
        println!("{name}");
        println!("  who trusts another authority: {}", meet(&stranger, &server)?);
        println!("  without a certificate:        {}", meet(&anonymous, &server)?);
        println!("  with one of ours:             {}", meet(&known, &server)?);
        println!("  with one of theirs:           {}", meet(&false_one, &server)?);
    }

    // Mistakes are found before anybody listens or connects.
    let swapped = Server {
        chain: read("ours-server.pem")?,
        key: read("theirs-server.key")?,
        client_authorities: None,
    };
    println!("another key:   {}", swapped.server_config().err().ok_or("it was taken")?);
    let half = Files { certificate: Some(dir.join("ours-client.pem")), ..Files::default() };
    println!("half a pair:   {}", half.read(&|it| fs::read(it)).err().ok_or("it was taken")?);
    let empty = Material { authorities: Some(Vec::new()), client: None };
    println!("an empty file: {}", empty.client_config().err().ok_or("it was taken")?);
    Ok(())
}

/// Writes an authority and what it issues, as an operator has them: certificates and keys in PEM.
fn issue(dir: &Path, name: &str) -> Result<()> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    fs::write(dir.join(format!("{name}-ca.pem")), authority.pem())?;
    for who in ["server", "client"] {
        let key = KeyPair::generate()?;
        let params = CertificateParams::new(vec!["localhost".to_owned()])?;
        fs::write(
            dir.join(format!("{name}-{who}.pem")),
            params.signed_by(&key, &authority)?.pem(),
        )?;
        fs::write(dir.join(format!("{name}-{who}.key")), key.serialize_pem())?;
    }
    Ok(())
}

/// A client that trusts the authority `trusts` and shows a certificate of `shows`.
fn client(dir: &Path, trusts: &str, shows: Option<&str>) -> Result<Arc<ClientConfig>> {
    let files = Files {
        authorities: Some(dir.join(format!("{trusts}-ca.pem"))),
        certificate: shows.map(|it| dir.join(format!("{it}-client.pem"))),
        key: shows.map(|it| dir.join(format!("{it}-client.key"))),
    };
    let material = files.read(&|it| fs::read(it))?.ok_or("nothing is named")?;
    Ok(Arc::new(material.client_config()?))
}

/// Carries bytes between the two until both are content or one refuses.
fn meet(client: &Arc<ClientConfig>, server: &Arc<ServerConfig>) -> Result<String> {
    let mut client = ClientConnection::new(Arc::clone(client), "localhost".try_into()?)?;
    let mut server = ServerConnection::new(Arc::clone(server))?;
    let mut refused = None;
    while client.wants_write() || server.wants_write() {
        let (mut out, mut back) = (Vec::new(), Vec::new());
        client.write_tls(&mut out)?;
        server.read_tls(&mut out.as_slice())?;
        // What the server refuses it says, and the client hears it below.
        refused = refused.or_else(|| server.process_new_packets().err());
        while server.wants_write() {
            server.write_tls(&mut back)?;
        }
        client.read_tls(&mut back.as_slice())?;
        if let Err(error) = client.process_new_packets() {
            let fault = Fault::of(&error).ok_or(error)?;
            return Ok(format!("refused: {fault:?}"));
        }
    }
    match refused {
        Some(error) => Err(error.into()),
        None => Ok(format!("in, {:?}", client.protocol_version())),
    }
}
