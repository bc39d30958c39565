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
            if world.now > 100_000 && status.pending > 0 {
                let all = format!("{:?}", tab.engine);
                let from = all.find("role: ").unwrap_or(0);
                println!("{}", &all[from..(from + 3_000).min(all.len())]);
            }
        }
    });
    println!("{:?}", outcome.failure);
}
