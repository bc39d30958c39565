//! Histories that have failed once, each under a name that says what it shows. None does any more.

use std::fs;

use tutti_simulator::history::History;

#[test]
fn no_history_fails_again() {
    let mut cases = 0;
    for file in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/cases")).unwrap() {
        let path = file.unwrap().path();
        let history: History = fs::read_to_string(&path).unwrap().parse().unwrap();
        assert_eq!(history.to_string().parse::<History>().unwrap(), history);
        assert_eq!(history.play().failure, None, "{}", path.display());
        cases += 1;
    }
    assert!(cases > 10, "{cases}");
}

#[test]
fn a_history_is_the_same_each_time() {
    use tutti_simulator::vocabulary::Climate;

    for seed in 1..20 {
        let mut told = [Vec::new(), Vec::new()];
        for told in &mut told {
            let history = History::generate(seed, Climate::Chaos);
            let outcome =
                history.play_in(&mut |_| {}, &mut |world, what| told.push((world.now, what.to_owned())));
            told.push((outcome.promises, format!("{:?}", outcome.failure)));
        }
        assert_eq!(told[0], told[1]);
    }
}
