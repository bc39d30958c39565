//! debug
use tutti_simulator::history::History;
fn main() {
    let text = std::fs::read_to_string(std::env::args().nth(1).unwrap()).unwrap();
    let history: History = text.parse().unwrap();
    let outcome = history.play_in(&mut |_| {}, &mut |world, what| {
        println!("{:>9} {what}", world.now);
        for at in world.alive() {
            let tab = world.tab(at);
            let status = tab.engine.status();
            println!("      {at:?} frozen {} susp {} lead {} {:?} {:?} pending {} tabs {} {:?} catching {} deadline {:?} offline {}", tab.frozen, tab.suspended, status.leader, status.connection, status.reason, status.pending, status.tabs, status.epoch, status.catching_up, tab.engine.deadline(), status.working_offline);
            let mut seen = std::collections::BTreeMap::new();
            for (n, event) in tab.told.iter().enumerate().filter(|(_, e)| e.added) {
                if let Some((m, before)) = seen.insert(event.message.id, (n, event)) {
                    println!("        TWICE {m}: {before:?}\n              {n}: {event:?}");
                }
            }
        }
    });
    println!("{:?}", outcome.failure);
}
