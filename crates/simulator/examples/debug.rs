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
            println!(
                "      {at:?} device {:?} frozen {} susp {} {status:?} store gen {} epoch {:?}",
                tab.engine.identity().device,
                tab.frozen,
                tab.suspended,
                world.profiles[at.0].store.generation,
                world.profiles[at.0].store.epoch
            );
        }
    });
    println!("{:?}", outcome.failure);
}
