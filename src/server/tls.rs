//! TLS of our own: certificate and key from files, read again when they change or when the process gets SIGHUP.
//!
//! What is in force is replaced as a whole, and only by what can be used: a file that is half written, or a key that is another
//! certificate's, is reported and what was there stays. Connections that are open keep theirs.

use crate::wire::{Secure, blocking};
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How often the files are looked at.
const LOOKED_AT: Duration = Duration::from_secs(5);
/// Largest file.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// The files, all in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// The certificate, and those between it and a root.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The authorities of those who may call the engine; without it nobody is asked who they are.
    pub engine_clients: Option<PathBuf>,
    /// The authorities of the issuers' clients (RFC 8705 2.1). What they sign opens the issuers' doors and never the engine's.
    pub identity_clients: Option<PathBuf>,
}

/// Why TLS cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read `{path}`: {reason}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Certificate and key are of no use together.
    #[error("`{certificate}` and `{key}` cannot be used: {reason}; the key must be the certificate's own")]
    Pair {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why.
        reason: String,
    },
    /// The authorities are of no use.
    #[error("the authorities in `{path}` cannot be used: {reason}")]
    Authorities {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// Where TLS is spoken, which decides what is asked of clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The engine: a certificate by one of its authorities, or there is no connection. Without authorities nothing is asked.
    Engine,
    /// The issuers, as browsers reach them: nothing is asked, because a browser would ask people which certificate to show.
    Issuers,
    /// The issuers, as clients reach them who show a certificate (RFC 8705): any at all, which is judged when its client is
    /// known, because a client may have signed its own.
    MutualTls,
}

/// What is in force.
struct Loaded {
    engine: Arc<ServerConfig>,
    issuers: Arc<ServerConfig>,
    mutual: Arc<ServerConfig>,
    /// Judges the certificates of the issuers' clients.
    judge: Option<Arc<dyn ClientCertVerifier>>,
}

/// Takes every certificate whose key the client holds, and leaves what it is worth to who knows the client.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ClientCertVerifier for AnyCertificate {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[] // whoever has signed its own has no authority to find here
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Certificates that are kept as the files are.
pub(super) struct Tls {
    settings: TlsSettings,
    loaded: ArcSwap<Loaded>,
    /// How the files looked before they were last read.
    seen: Mutex<Stamp>,
}

/// How a file looked: when it was changed, and its length.
type Stamp = Vec<Option<(SystemTime, u64)>>;

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    use std::io::Read as _;
    let unreadable = |reason: String| TlsError::Unreadable { path: path.to_owned(), reason };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|reason| unreadable(reason.to_string()))?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|reason| unreadable(reason.to_string()))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(unreadable(format!("it has more than {FILE_BYTES_MAX} bytes")));
    }
    Ok(bytes)
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let read = read.map_err(|reason| reason.to_string())?;
    if read.is_empty() { Err("there is no certificate in it".to_owned()) } else { Ok(read) }
}

impl Loaded {
    fn load(settings: &TlsSettings) -> Result<Loaded, TlsError> {
        let pair = |reason: String| TlsError::Pair {
            certificate: settings.certificate.clone(),
            key: settings.key.clone(),
            reason,
        };
        let chain = certificates(&read(&settings.certificate)?).map_err(pair)?;
        let key = PrivateKeyDer::from_pem_slice(&read(&settings.key)?).map_err(|reason| pair(reason.to_string()))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let judge_of = |path: &Option<PathBuf>| path.as_deref().map(|path| authorities(path, &provider)).transpose();
        let engine = judge_of(&settings.engine_clients)?.unwrap_or_else(WebPkiClientVerifier::no_client_auth);
        let judge = judge_of(&settings.identity_clients)?;
        let config = |verifier: Arc<dyn ClientCertVerifier>| {
            let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
            let builder = builder.with_safe_default_protocol_versions().map_err(|error| pair(error.to_string()))?;
            let builder = builder.with_client_cert_verifier(verifier);
            let config = builder.with_single_cert(chain.clone(), key.clone_key());
            let mut config = config.map_err(|error| pair(error.to_string()))?;
            config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
            Ok(Arc::new(config))
        };
        Ok(Loaded {
            engine: config(engine)?,
            issuers: config(WebPkiClientVerifier::no_client_auth())?,
            mutual: config(Arc::new(AnyCertificate(Arc::clone(&provider))))?,
            judge,
        })
    }
}

fn authorities(path: &Path, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let refuse = |reason: String| TlsError::Authorities { path: path.to_owned(), reason };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&read(path)?).map_err(refuse)? {
        roots.add(certificate).map_err(|error| refuse(error.to_string()))?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build();
    verifier.map(|verifier| verifier as Arc<dyn ClientCertVerifier>).map_err(|error| refuse(error.to_string()))
}

fn stamp(settings: &TlsSettings) -> Stamp {
    let TlsSettings { certificate, key, engine_clients, identity_clients } = settings;
    let files = [certificate, key].into_iter().chain(engine_clients).chain(identity_clients);
    let one = |path: &PathBuf| {
        let metadata = std::fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    };
    files.map(one).collect()
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// They are of no use.
    pub(super) fn open(settings: TlsSettings) -> Result<Arc<Tls>, TlsError> {
        let seen = Mutex::new(stamp(&settings));
        let loaded = ArcSwap::from_pointee(Loaded::load(&settings)?);
        Ok(Arc::new(Tls { settings, loaded, seen }))
    }

    /// How a listener is to speak.
    pub(super) fn at(self: &Arc<Tls>, place: Place) -> Arc<dyn Secure> {
        Arc::new(Door { tls: Arc::clone(self), place })
    }

    /// Reads the files again if they look otherwise than before, or when told to.
    fn look(&self, told: bool) {
        let now = stamp(&self.settings);
        let before = std::mem::replace(&mut *self.seen.lock(), now.clone());
        if told || now != before {
            self.reload();
        }
    }

    /// Reads the files again.
    fn reload(&self) {
        match Loaded::load(&self.settings) {
            Ok(loaded) => {
                self.loaded.store(Arc::new(loaded));
                tracing::info!(certificate = %self.settings.certificate.display(), "the certificate was read again");
            }
            Err(error) => {
                tracing::error!(%error, "the certificate cannot be read again; the one before stays in force")
            }
        }
    }

    /// Keeps what is in force as the files are. It ends when it is aborted.
    pub(super) async fn keep(self: Arc<Tls>) {
        use tokio::signal::unix::{SignalKind, signal};
        let mut hangup = match signal(SignalKind::hangup()) {
            Ok(hangup) => hangup,
            Err(error) => return tracing::error!(%error, "no signals; the certificate is not read again"),
        };
        let mut ticks = tokio::time::interval(LOOKED_AT);
        loop {
            let told = tokio::select! {
                _ = ticks.tick() => false,
                told = hangup.recv() => told.is_some(),
            };
            let tls = Arc::clone(&self);
            let _ = blocking(move || tls.look(told)).await; // a panic there was reported when it happened
        }
    }
}

/// The certificates, as one listener uses them.
struct Door {
    tls: Arc<Tls>,
    place: Place,
}

impl Secure for Door {
    fn config(&self) -> Arc<ServerConfig> {
        let loaded = self.tls.loaded.load();
        Arc::clone(match self.place {
            Place::Engine => &loaded.engine,
            Place::Issuers => &loaded.issuers,
            Place::MutualTls => &loaded.mutual,
        })
    }

    fn trusts(&self, chain: &[CertificateDer<'static>]) -> bool {
        let loaded = self.tls.loaded.load();
        let (Some(judge), Some((own, between))) = (&loaded.judge, chain.split_first()) else { return false };
        judge.verify_client_cert(own, between, UnixTime::now()).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair};

    fn write(settings: &TlsSettings, name: &str) -> CertificateDer<'static> {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().self_signed(&key).unwrap();
        std::fs::write(&settings.certificate, certificate.pem()).unwrap();
        std::fs::write(&settings.key, key.serialize_pem()).unwrap();
        certificate.der().clone()
    }

    /// The certificate that the next handshake shows.
    fn shown(tls: &Arc<Tls>) -> CertificateDer<'static> {
        let config = tls.at(Place::Issuers).config();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let client =
            rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let client = client.dangerous().with_custom_certificate_verifier(Arc::new(Anything)).with_no_client_auth();
        let mut client = rustls::ClientConnection::new(Arc::new(client), "x.example".try_into().unwrap()).unwrap();
        let mut server = rustls::ServerConnection::new(config).unwrap();
        while client.is_handshaking() || server.is_handshaking() {
            let mut bytes = Vec::new();
            client.write_tls(&mut bytes).unwrap();
            server.read_tls(&mut bytes.as_slice()).unwrap();
            server.process_new_packets().unwrap();
            let mut bytes = Vec::new();
            server.write_tls(&mut bytes).unwrap();
            client.read_tls(&mut bytes.as_slice()).unwrap();
            client.process_new_packets().unwrap();
        }
        client.peer_certificates().unwrap()[0].clone().into_owned()
    }

    #[derive(Debug)]
    struct Anything;

    impl rustls::client::danger::ServerCertVerifier for Anything {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &rustls::pki_types::ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
            Ok(rustls::client::danger::ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn verify_tls13_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
        }
    }

    #[test]
    fn a_certificate_is_in_force_as_soon_as_it_can_be_used() {
        let directory = tempfile::tempdir().unwrap();
        let settings = TlsSettings {
            certificate: directory.path().join("server.pem"),
            key: directory.path().join("server.key"),
            engine_clients: None,
            identity_clients: None,
        };
        let first = write(&settings, "x.example");
        let tls = Tls::open(settings.clone()).unwrap();
        assert_eq!(shown(&tls), first);
        let second = write(&settings, "another.example");
        assert_eq!(shown(&tls), first, "nobody has looked yet");
        tls.look(false);
        assert_eq!(shown(&tls), second);
        // Half of what is to come is of no use, and what was there stays.
        std::fs::write(&settings.key, "").unwrap();
        tls.look(false);
        assert_eq!(shown(&tls), second);
        let third = write(&settings, "third.example");
        tls.look(false);
        assert_eq!(shown(&tls), third);
        tls.look(true);
        assert_eq!(shown(&tls), third);
    }
}
