//! Before the copy of a log goes that the server was restored from, it is looked through for what the server lacks.

use super::{Engine, Enqueued, Role, Salvaging};
use crate::{
    Extent, Failure, Now,
    batch::{Snapshot, StoreError},
    decode_block,
    salvage::Salvage,
    sorted::SortedSet,
};

/// So many blocks are read at a time.
const BLOCKS: usize = 32;

impl Engine {
    /// Whether all is known that is to be saved out of the copy, if it is to go; else it is being looked for.
    pub(super) fn is_salvaged(&mut self, now: Now) -> bool {
        let Role::Leader(leader) = &self.role else {
            return true;
        };
        let Some(common) = leader.gathered.common else {
            return true;
        };
        match leader.salvage {
            Salvaging::Reading(..) => false,
            Salvaging::Done(_) => true,
            Salvaging::Idle => {
                let pieces = self.replica.heads.values().flat_map(|head| &head.pieces);
                let blocks: SortedSet<u64> = pieces.map(|piece| piece.block).collect();
                let salvage = Salvage::begin(&self.replica, common);
                self.look_into(blocks.into_iter().collect(), salvage, now)
            }
        }
    }

    /// Goes on with these blocks. Whether there are none.
    fn look_into(&mut self, mut blocks: Vec<u64>, salvage: Salvage, now: Now) -> bool {
        let rest = blocks.split_off(blocks.len().min(BLOCKS));
        let ends = blocks.is_empty();
        let next = if ends {
            Salvaging::Done(salvage.end(|| self.mint(now)))
        } else {
            Salvaging::Reading(self.load(Extent::Blocks(blocks)), rest, salvage)
        };
        if let Role::Leader(leader) = &mut self.role {
            leader.salvage = next;
        }
        ends
    }

    /// Blocks were read.
    pub(super) fn handle_salvaged(&mut self, result: Result<Snapshot, StoreError>, now: Now) {
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        let Salvaging::Reading(_, rest, mut salvage) = std::mem::take(&mut leader.salvage) else {
            return;
        };
        match result {
            Ok(snapshot) => {
                // One that cannot be read is lost, now as before.
                let blocks =
                    snapshot.records.into_iter().filter_map(|(_, _, record)| decode_block(record).ok());
                blocks.for_each(|block| salvage.look_into(&self.replica, &block));
                self.look_into(rest, salvage, now);
            }
            Err(error) => {
                leader.rest_until = Some(now.monotonic.plus(self.storage.next(&mut self.entropy)));
                self.complain(Failure::from(&error));
            }
        }
    }

    /// The copy is gone, and what was saved out of it is stored with what has taken its place.
    pub(super) fn send_again(&mut self, now: Now) {
        if let Role::Leader(leader) = &mut self.role
            && let Salvaging::Done(saved) = std::mem::take(&mut leader.salvage)
        {
            let saved = saved.into_iter().map(|queued| Enqueued { request: None, queued });
            self.enqueued(saved.collect(), now);
        }
    }
}
