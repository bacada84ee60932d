//! A certificate authority of Vamp's own, so that agents can tell a controller from somebody else without anything to set up.
//!
//! Everything here is a function of keys, names and the time that is passed in; where the authority is kept is for others to
//! say: in a folder ([`folder`]), in a cluster's Secret.

pub mod folder;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};

use crate::tls::{TlsError, certificates};

const AUTHORITY_YEARS: i16 = 10;
const CERTIFICATE_YEARS: i16 = 1;
/// Clocks that are behind must not take a new certificate for one of the future.
const EARLIER: i64 = 1;
/// A certificate is renewed this many days before it ends, an authority a year before.
const RENEW_DAYS: i64 = 120;
const RENEW_AUTHORITY_DAYS: i64 = 365;

/// A certificate authority: what others need to check its certificates, and what it needs to make them.
#[derive(Clone)]
pub struct Authority {
    /// Certificates of this authority and of those before it that are still good, PEM, this one first. Public.
    pub certificates: String,
    /// Private key, PEM. Secret.
    pub key: String,
}

/// A certificate that an authority has issued.
#[derive(Clone)]
pub struct Issued {
    /// The certificate, PEM.
    pub certificate: String,
    /// Its private key, PEM. Secret.
    pub key: String,
    /// When it is time for the next one.
    pub renew_at: Timestamp,
}

/// Why an authority is of no use. Never shows a key.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// Its certificate cannot be read.
    #[error("the certificate of the authority cannot be read: {0}")]
    Certificate(String),
    /// Its key cannot be read, or belongs to another certificate.
    #[error("the key of the authority cannot be used: {0}")]
    Key(String),
    /// A certificate cannot be made.
    #[error("no certificate can be made: {0}")]
    Issue(#[from] rcgen::Error),
    /// A point in time that no certificate can name.
    #[error("the clock of this machine cannot be right: {0}")]
    Clock(Timestamp),
    /// A file.
    #[error("{what} {}", file.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// The file.
        file: std::path::PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

impl From<TlsError> for AuthorityError {
    fn from(error: TlsError) -> Self {
        Self::Certificate(error.to_string())
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("certificates", &self.certificates).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issued").field("renew_at", &self.renew_at).finish_non_exhaustive()
    }
}

impl Authority {
    /// Makes a new one, good for ten years.
    ///
    /// # Errors
    /// The system gives no randomness, or its clock is absurd.
    pub fn make(now: Timestamp) -> Result<Self, AuthorityError> {
        let key = KeyPair::generate()?;
        let certificate = params(now, AUTHORITY_YEARS)?.self_signed(&key)?;
        Ok(Self { certificates: certificate.pem(), key: key.serialize_pem() })
    }

    /// One that was kept, after a look at whether it can be used.
    ///
    /// # Errors
    /// Certificate or key cannot be read, or do not belong together.
    pub fn from_pem(certificates: &str, key: &str) -> Result<Self, AuthorityError> {
        let authority = Self { certificates: certificates.to_owned(), key: key.to_owned() };
        let pair = authority.key()?;
        let own = &authority.all()?[0];
        let point = pair.public_key_raw();
        // The public key is in the certificate as it is.
        if !own.windows(point.len()).any(|part| part == point) {
            return Err(AuthorityError::Key("it belongs to another certificate".into()));
        }
        Ok(authority)
    }

    /// Issues a certificate for a server with these names (host names or IP addresses), good for a year.
    ///
    /// # Errors
    /// The key cannot be used, or a name is none.
    pub fn issue(&self, names: &[String], now: Timestamp) -> Result<Issued, AuthorityError> {
        let issuer = Issuer::new(params(now, AUTHORITY_YEARS)?, self.key()?);
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name = named(names.first().map_or("vamp", String::as_str));
        valid(&mut params, now, CERTIFICATE_YEARS)?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &issuer)?;
        let ends = x509::facts(certificate.der())
            .map(|facts| facts.not_after)
            .ok_or_else(|| AuthorityError::Certificate("it has no end".into()))?;
        let renew_at = days_before(ends, RENEW_DAYS);
        Ok(Issued { certificate: certificate.pem(), key: key.serialize_pem(), renew_at })
    }

    /// The one to use from now on, when that is another: a year before this one ends, a new one is made, and this one stays in
    /// `certificates` so that what it issued is still trusted.
    ///
    /// # Errors
    /// As for [`Authority::make`], or this one cannot be read.
    pub fn renewed(&self, now: Timestamp) -> Result<Option<Self>, AuthorityError> {
        let own = self.all()?;
        let ends = x509::facts(&own[0])
            .map(|facts| facts.not_after)
            .ok_or_else(|| AuthorityError::Certificate("it has no end".into()))?;
        if now < days_before(ends, RENEW_AUTHORITY_DAYS) {
            return Ok(None);
        }
        let mut next = Self::make(now)?;
        next.certificates.push_str(&self.certificates);
        Ok(Some(next))
    }

    fn key(&self) -> Result<KeyPair, AuthorityError> {
        KeyPair::from_pem(&self.key).map_err(|error| AuthorityError::Key(error.to_string()))
    }

    fn all(&self) -> Result<Vec<tokio_rustls::rustls::pki_types::CertificateDer<'static>>, AuthorityError> {
        Ok(certificates(self.certificates.as_bytes(), "it")?)
    }
}

/// Of the authority itself. Which key it has tells authorities of one name apart.
fn params(now: Timestamp, years: i16) -> Result<CertificateParams, AuthorityError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = named("Vamp authority");
    valid(&mut params, now, years)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn named(name: &str) -> DistinguishedName {
    let mut named = DistinguishedName::new();
    named.push(DnType::OrganizationName, "Vamp");
    // A common name may have 64 characters.
    named.push(DnType::CommonName, name.chars().take(64).collect::<String>());
    named
}

/// From yesterday, for so many years: whole days are precise enough.
fn valid(params: &mut CertificateParams, now: Timestamp, years: i16) -> Result<(), AuthorityError> {
    let today = now.to_zoned_datetime(TimeZone::UTC).date();
    let absurd = |_| AuthorityError::Clock(now);
    let from = today.checked_sub(Span::new().days(EARLIER)).map_err(absurd)?;
    let until = today.checked_add(Span::new().years(years)).map_err(absurd)?;
    let time = |date: Date| {
        let (month, day) = (date.month().unsigned_abs(), date.day().unsigned_abs());
        rcgen::date_time_ymd(date.year().into(), month, day)
    };
    // What certificates can say.
    if !(2000..=9000).contains(&from.year()) {
        return Err(AuthorityError::Clock(now));
    }
    (params.not_before, params.not_after) = (time(from), time(until));
    Ok(())
}

fn days_before(time: Timestamp, days: i64) -> Timestamp {
    time.checked_sub(Span::new().hours(days * 24)).unwrap_or(Timestamp::MIN)
}

#[cfg(test)]
mod tests;
