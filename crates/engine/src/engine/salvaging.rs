//! Before the copy of a log goes that the server was restored from, it is looked through for what the server lacks.

use super::{Engine, Enqueued, Reading, Role};
use crate::{Extent, Now, salvage::Salvage};

impl Engine {
    /// Whether all is known that is to be saved out of the copy, if it is to go; else it is being looked for.
    pub(super) fn is_salvaged(&mut self) -> bool {
        let Role::Leader(leader) = &mut self.role else {
            return true;
        };
        let Some(common) = leader.gathered.common else {
            return true;
        };
        let replica = &self.replica;
        let salvage = leader.salvage.get_or_insert_with(|| {
            let mut random = [0; 10];
            self.entropy.fill_bytes(&mut random);
            Box::new(Salvage::begin(replica, common, random))
        });
        match std::mem::take(&mut leader.outdated) {
            Reading::Of(id) => {
                leader.outdated = Reading::Of(id);
                return false;
            }
            Reading::Read(blocks) => salvage.look_into(replica, blocks),
            Reading::Idle => {}
        }
        let wanted = salvage.wanted();
        let is_all = wanted.is_empty();
        if !is_all {
            let id = self.load(Extent::Blocks(wanted));
            if let Role::Leader(leader) = &mut self.role {
                leader.outdated = Reading::Of(id);
            }
        }
        is_all
    }

    /// The copy is gone, and what was saved out of it is stored with what has taken its place.
    pub(super) fn send_again(&mut self, now: Now) {
        if let Role::Leader(leader) = &mut self.role {
            let again = std::mem::take(&mut leader.again);
            let again = again.into_iter().map(|queued| Enqueued { request: None, queued });
            self.enqueued(again.collect(), now);
        }
    }
}
