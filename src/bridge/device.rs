//! Which device runs RVC voices, as the loader tells the editor. Plain data.

/// A kind of device to choose.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceKind {
    /// Names it in a [`Request::ChooseDevice`](super::Request::ChooseDevice).
    pub word: String,
    /// What it is called in front of people.
    pub title: String,
}

/// What was chosen, and what became of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceChoice {
    /// The kinds there are; empty while unknown.
    pub kinds: Vec<DeviceKind>,
    /// Word of the chosen kind.
    pub chosen: String,
    /// What really runs the graphs, in plain words; empty = not tried yet.
    pub runs_on: String,
    /// Why that is not the chosen one; empty if it is.
    pub reason: String,
    /// The environment variable that decides instead of the editor; empty when there is none.
    pub fixed_by: String,
    /// Why the choice could not be kept; empty if it could.
    pub note: String,
}
