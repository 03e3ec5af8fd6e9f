//! Passkeys against an authenticator and a browser's part that nobody here wrote (the `passkey` crates).

use bailiwick::modules::login::{CEREMONY_SECONDS, Claim, PASSKEYS_MAX, PasskeyError, PasskeyRecord, Passkeys, SignIn};
use passkey::authenticator::{Authenticator, UiHint, UserCheck, UserValidationMethod};
use passkey::client::{Client, DefaultClientData};
use passkey::crypto::rust_crypto::RustCryptoBackend;
use passkey::types::Passkey;
use passkey::types::ctap2::{Aaguid, Ctap2Error};
use passkey::types::webauthn::{CredentialCreationOptions, CredentialRequestOptions};
use serde_json::Value;
use std::pin::Pin;
use url::Url;

const NOW: u64 = 1_800_000_000;
const SARAH: [u8; 16] = [7; 16];

/// A person who touches the device, and whom it recognises or not.
pub(crate) struct Person {
    pub(crate) verified: bool,
}

impl UserValidationMethod for Person {
    type PasskeyItem = Passkey;

    fn check_user<'a, 'life0, 'async_trait>(
        &'life0 self,
        _hint: UiHint<'a, Passkey>,
        _presence: bool,
        _verification: bool,
    ) -> Pin<Box<dyn Future<Output = Result<UserCheck, Ctap2Error>> + Send + 'async_trait>>
    where
        'a: 'async_trait,
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        let check = UserCheck { presence: true, verification: self.verified };
        Box::pin(async move { Ok(check) })
    }

    fn is_presence_enabled(&self) -> bool {
        true
    }

    fn is_verification_enabled(&self) -> Option<bool> {
        Some(true)
    }
}

/// A device with a browser on it.
pub(crate) struct Device {
    client: Client<Option<Passkey>, Person, RustCryptoBackend, public_suffix::PublicSuffixList, ()>,
    origin: Url,
    runtime: tokio::runtime::Runtime,
}

impl Device {
    pub(crate) fn new(origin: &str, counts: bool) -> Device {
        let mut authenticator =
            Authenticator::new(Aaguid::new_empty(), None, Person { verified: true }, RustCryptoBackend);
        authenticator.set_make_credentials_with_signature_counter(counts);
        let client = Client::new(authenticator).allows_insecure_localhost(true);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        Device { client, origin: Url::parse(origin).unwrap(), runtime }
    }

    pub(crate) fn create(&mut self, options: &str) -> String {
        let options: CredentialCreationOptions = serde_json::from_str(options).unwrap();
        let made = self.client.register(&self.origin, options, DefaultClientData);
        as_browsers_do(serde_json::to_value(self.runtime.block_on(made).unwrap()).unwrap())
    }

    pub(crate) fn get(&mut self, options: &str) -> String {
        let options: CredentialRequestOptions = serde_json::from_str(options).unwrap();
        let found = self.client.authenticate(&self.origin, options, DefaultClientData);
        as_browsers_do(serde_json::to_value(self.runtime.block_on(found).unwrap()).unwrap())
    }

    /// The passkey on it, to be put on another: a copy.
    fn passkey(&self) -> Passkey {
        self.client.authenticator().store().clone().unwrap()
    }

    fn put(&mut self, passkey: Passkey) {
        *self.client.authenticator_mut().store_mut() = Some(passkey);
    }
}

/// The crate writes bytes as numbers; browsers write them in base64url.
fn as_browsers_do(value: Value) -> String {
    fn walk(value: &mut Value) {
        match value {
            Value::Array(list) if !list.is_empty() && list.iter().all(Value::is_u64) => {
                let bytes: Vec<u8> = list.iter().map(|n| u8::try_from(n.as_u64().unwrap()).unwrap()).collect();
                *value = bailiwick::identity::encode(&bytes).into();
            }
            Value::Array(list) => list.iter_mut().for_each(walk),
            Value::Object(members) => members.values_mut().for_each(walk),
            _ => {}
        }
    }
    let mut value = value;
    walk(&mut value);
    value.to_string()
}

fn site() -> Passkeys {
    Passkeys::new("https://id.example.com/acme", "Acme").unwrap()
}

fn register(site: &Passkeys, device: &mut Device) -> PasskeyRecord {
    let (options, begun) = site.begin_registration(SARAH, "sarah@example.com", "Sarah", &[]).unwrap();
    site.finish_registration(&device.create(&options), &begun, &[]).unwrap()
}

/// A sign-in up to the browser's answer; the state goes through what keeps it.
fn begin(site: &Passkeys, device: &mut Device, now: u64) -> (Claim, SignIn, String) {
    let (options, begun) = site.begin_sign_in(now).unwrap();
    let kept = serde_json::to_string(&begun).unwrap();
    (Claim::read(&device.get(&options)).unwrap(), begun, kept)
}

#[test]
fn a_passkey_is_registered_and_signs_in() {
    let (site, mut device) = (site(), Device::new("https://id.example.com", false));
    let record = register(&site, &mut device);
    let record: PasskeyRecord = serde_json::from_str(&serde_json::to_string(&record).unwrap()).unwrap();
    let (claim, begun, _) = begin(&site, &mut device, NOW);
    assert_eq!((claim.passkey(), claim.user()), (record.id(), Some(SARAH)));
    let after = site.finish_sign_in(&claim, begun, &record, SARAH, NOW + 5).unwrap();
    assert_eq!(after.id(), record.id());
}

#[test]
fn the_options_ask_for_what_signs_in_without_a_name() {
    let (options, _) = site().begin_registration(SARAH, "sarah@example.com", "Sarah", &[]).unwrap();
    let options: serde_json::Value = serde_json::from_str(&options).unwrap();
    let selection = &options["publicKey"]["authenticatorSelection"];
    assert_eq!(selection["residentKey"], "required");
    assert_eq!(selection["requireResidentKey"], true);
    assert_eq!(selection["userVerification"], "required");
    assert_eq!(options["publicKey"]["rp"]["id"], "id.example.com");
    assert_eq!(options["publicKey"]["attestation"], "none");
    assert!(!options.to_string().contains("c2FyYWg"), "the handle says nothing of the user");
    let (options, _) = site().begin_sign_in(NOW).unwrap();
    let options: serde_json::Value = serde_json::from_str(&options).unwrap();
    assert_eq!(options["publicKey"]["userVerification"], "required");
    assert_eq!(options["publicKey"]["allowCredentials"], serde_json::json!([]));
}

#[test]
fn a_ceremony_is_used_once_and_in_time() {
    let (site, mut device) = (site(), Device::new("https://id.example.com", false));
    let record = register(&site, &mut device);
    let (claim, begun, kept) = begin(&site, &mut device, NOW);
    let again = || serde_json::from_str::<SignIn>(&kept).unwrap();
    let after = site.finish_sign_in(&claim, begun, &record, SARAH, NOW).unwrap();
    let replayed = site.finish_sign_in(&claim, again(), &after, SARAH, NOW + 1);
    assert_eq!(replayed.unwrap_err(), PasskeyError::Replayed);
    let late = site.finish_sign_in(&claim, again(), &record, SARAH, NOW + CEREMONY_SECONDS);
    assert_eq!(late.unwrap_err(), PasskeyError::Unproved);
    let (claim, begun, _) = begin(&site, &mut device, NOW + CEREMONY_SECONDS);
    let next = site.finish_sign_in(&claim, begun, &after, SARAH, NOW + CEREMONY_SECONDS).unwrap();
    let kept = serde_json::to_value(&next).unwrap();
    assert_eq!(kept["used"].as_array().unwrap().len(), 1, "what is over is forgotten");
}

#[test]
fn another_ceremony_another_site_another_user_and_another_key_prove_nothing() {
    let (site, mut device) = (site(), Device::new("https://id.example.com", false));
    let record = register(&site, &mut device);
    let unproved = |claim: &Claim, begun, record: &PasskeyRecord, owner| {
        assert_eq!(site.finish_sign_in(claim, begun, record, owner, NOW).unwrap_err(), PasskeyError::Unproved);
    };
    let (claim, _, _) = begin(&site, &mut device, NOW);
    let (_, other, _) = begin(&site, &mut device, NOW);
    unproved(&claim, other, &record, SARAH);

    let (claim, begun, _) = begin(&site, &mut device, NOW);
    unproved(&claim, begun, &record, [8; 16]);

    let mut second = Device::new("https://id.example.com", false);
    let foreign = register(&site, &mut second);
    let (claim, begun, _) = begin(&site, &mut device, NOW);
    unproved(&claim, begun, &foreign, SARAH);

    // A device that is fooled by a page at another origin of the same site: what it signs names that origin.
    let mut fooled = Device::new("https://evil.id.example.com", false);
    fooled.put(device.passkey());
    let (claim, begun, _) = begin(&site, &mut fooled, NOW);
    unproved(&claim, begun, &record, SARAH);
}

#[test]
fn a_user_who_was_not_verified_proves_nothing() {
    let (site, mut device) = (site(), Device::new("https://id.example.com", false));
    let record = register(&site, &mut device);
    let (options, begun) = site.begin_sign_in(NOW).unwrap();
    // The page's script was changed to ask for less.
    let options = options.replace(r#""userVerification":"required""#, r#""userVerification":"discouraged""#);
    let passkey = device.passkey();
    let person = Person { verified: false };
    let authenticator = Authenticator::new(Aaguid::new_empty(), Some(passkey), person, RustCryptoBackend);
    device.client = Client::new(authenticator);
    let claim = Claim::read(&device.get(&options)).unwrap();
    let found = site.finish_sign_in(&claim, begun, &record, SARAH, NOW);
    assert_eq!(found.unwrap_err(), PasskeyError::Unproved);
}

#[test]
fn a_copy_is_noticed_when_the_device_counts() {
    let (site, mut device) = (site(), Device::new("https://id.example.com", true));
    let mut record = register(&site, &mut device);
    let mut copy = Device::new("https://id.example.com", true);
    copy.put(device.passkey());
    for second in 0..2 {
        let (claim, begun, _) = begin(&site, &mut device, NOW + second);
        record = site.finish_sign_in(&claim, begun, &record, SARAH, NOW + second).unwrap();
    }
    let (claim, begun, _) = begin(&site, &mut copy, NOW + 2);
    assert_eq!(site.finish_sign_in(&claim, begun, &record, SARAH, NOW + 2).unwrap_err(), PasskeyError::Copied);
}

#[test]
fn a_device_is_registered_once_and_not_without_end() {
    let (site, mut device) = (site(), Device::new("https://id.example.com", false));
    let record = register(&site, &mut device);
    let (options, begun) = site.begin_registration(SARAH, "sarah", "Sarah", &[]).unwrap();
    let held = [record.clone()];
    let (told, _) = site.begin_registration(SARAH, "sarah", "Sarah", &held).unwrap();
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["publicKey"]["excludeCredentials"].as_array().unwrap().len(), 1, "the device is told what is held");
    let answer = device.create(&options);
    let rk = answer.replace(r#""rk":true"#, r#""rk":false"#);
    assert_ne!(rk, answer, "the browser says that the passkey is discoverable");
    assert_eq!(site.finish_registration(&rk, &begun, &held).unwrap_err(), PasskeyError::NotDiscoverable);
    let many = vec![record; PASSKEYS_MAX];
    assert_eq!(site.begin_registration(SARAH, "sarah", "Sarah", &many).unwrap_err(), PasskeyError::Full);
    assert_eq!(site.finish_registration(&answer, &begun, &many).unwrap_err(), PasskeyError::Full);
    assert_eq!(site.finish_registration("{}", &begun, &held).unwrap_err(), PasskeyError::Form);
    assert_eq!(Claim::read("[]").unwrap_err(), PasskeyError::Form);
}

#[test]
fn a_site_without_a_name_has_no_passkeys() {
    assert!(Passkeys::new("http://127.0.0.1:8080", "Acme").is_none());
    assert!(Passkeys::new("http://localhost:8080/acme/", "Acme").is_some());
}
