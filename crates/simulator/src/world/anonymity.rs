//! Profiles without a lasting id: what they do, and what may be known of them in the end.

use memchr::memmem;
use prost::Message as _;
use tutti_acceptance::source::Source;
use tutti_engine::{Config, Input};
use tutti_protocol::{DeviceId, local};

use super::{At, World};
use tutti_engine::batch::{Key, Table};

impl World {
    /// The application wants a lasting id for a profile, or none.
    pub fn set_anonymous(&mut self, at: At, anonymous: bool) {
        self.profiles[at.0].anonymous = anonymous;
        self.profiles[at.0].had_other_ids = true;
        self.model.renamed(at.0);
        let config = Config { anonymous, ..self.tab(at).engine.config() };
        self.input(at, Input::Configure(config));
    }

    /// By which id the server knows the profile of a tab now; if it does not, one that is nobody's.
    #[must_use]
    pub fn known_as(&self, at: At) -> DeviceId {
        let passing = || self.sources(at.0).map(|(_, device)| device).next();
        self.tab(at).engine.device().or_else(passing).unwrap_or(DeviceId::from([0; 16]))
    }

    /// Whether something may have been for an id alone by which a profile goes no more.
    pub(super) fn is_renamed(&self, profile: usize) -> bool {
        self.profiles[profile].had_other_ids && self.server.was_split
    }

    /// What the switch calls the device of a tab.
    pub(super) fn addressee(&self, at: At) -> DeviceId {
        let source = self.tab(at).engine.device().map_or(Source::Passing(self.known_as(at)), Source::Device);
        source.addressee().expect("a device")
    }

    /// Each store names a device, or none if that is what its tabs want; and the server knows it as that. An id that
    /// passes is in no store, and nowhere in what the server keeps.
    pub(super) fn check_anonymity(&self) {
        for (profile, place) in self.profiles.iter().enumerate().filter(|(_, place)| !place.tabs.is_empty()) {
            let record = place.store.records[&(Table::Meta, Key::Number(1))].clone();
            let stored = local::Identity::decode(record).expect("an identity").device;
            for (number, tab) in &place.tabs {
                let wanted = !tab.engine.config().anonymous;
                assert_eq!(stored.is_empty(), !wanted, "divergent: {profile} has a lasting id, or none");
                let here = tab.engine.device().map(DeviceId::to_bytes).unwrap_or_default();
                assert_eq!(here, stored, "divergent: {:?} is another device", At(profile, *number));
            }
            for (lasting, device) in self.sources(profile) {
                let said = if lasting { device.to_bytes() } else { bytes::Bytes::new() };
                assert_eq!(said, stored, "divergent: {profile} says that it is another device");
            }
            for id in &self.server.passing {
                let kept = |record: &bytes::Bytes| memmem::find(record, id.as_bytes()).is_some();
                let kept = place.store.records.iter().find(|(_, record)| kept(record));
                assert_eq!(kept, None, "an id that passes lies in a store");
            }
        }
        let mentioned = self.server.storage.mentioned(&self.server.passing);
        assert_eq!(mentioned, None, "an id that passes is kept by the server");
    }

    /// As whom tabs of a profile have said hello, and whether that id lasts.
    fn sources(&self, profile: usize) -> impl Iterator<Item = (bool, DeviceId)> {
        let wires =
            self.profiles[profile].tabs.values().filter_map(|tab| tab.socket).map(|socket| socket.wire);
        wires.filter_map(|wire| self.server.source_of(wire))
    }
}
