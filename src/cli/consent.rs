//! The options that state whose voice it is and on what ground it may be used.

use coffre::voice::{Consent, ConsentGround};

use super::CliError;

/// The ground as an option.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum GroundOption {
    /// It is your own voice.
    Own,
    /// The speaker agreed in writing.
    Written,
    /// The recordings have a licence that allows it, or are in the public domain.
    Licensed,
}

/// The options that state an origin.
#[derive(Debug, clap::Args)]
pub struct ConsentOptions {
    /// On what ground this voice may be imitated; if not given, the origin is unknown
    #[arg(long, value_enum, value_name = "GROUND")]
    consent: Option<GroundOption>,
    /// Who agreed to what, or which licence; required for written and licensed
    #[arg(long, value_name = "TEXT", requires = "consent")]
    statement: Option<String>,
}

impl ConsentOptions {
    /// The record with today's date and the hash of the recordings; `None` when nothing was stated.
    pub fn record(&self, recordings_sha256: Option<String>) -> Result<Option<Consent>, CliError> {
        let Some(ground) = self.consent else { return Ok(None) };
        let stated = self.statement.as_deref().map(str::trim).filter(|text| !text.is_empty());
        let (ground, statement) = match (ground, stated) {
            (GroundOption::Own, None) => (ConsentGround::OwnVoice, "The maker says: this is my own voice."),
            (GroundOption::Own, Some(text)) => (ConsentGround::OwnVoice, text),
            (GroundOption::Written, Some(text)) => (ConsentGround::WrittenConsent, text),
            (GroundOption::Licensed, Some(text)) => (ConsentGround::LicensedData, text),
            (GroundOption::Written, None) => {
                return Err(CliError::Usage("say with --statement who agreed to what, and when".into()));
            }
            (GroundOption::Licensed, None) => {
                return Err(CliError::Usage(
                    "say with --statement where the recordings are from and which licence they have".into(),
                ));
            }
        };
        let statement = statement.to_owned();
        Ok(Some(Consent { ground, statement, date: Some(coffre::voice::library::today()), recordings_sha256 }))
    }
}
