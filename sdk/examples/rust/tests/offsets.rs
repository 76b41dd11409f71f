//! src/abi.rs against the layouts that the C compiler gave: tests/offsets.txt of this folder, which the installed example brings along;
//! in Orrery's repository, which keeps it elsewhere, tests/abi/offsets.txt; or the file that ORRERY_ABI_OFFSETS names. A struct may have grown at
//! its end since; what is mirrored must not have moved.

use std::collections::HashMap;

type Layouts = HashMap<String, (usize, Vec<(String, usize)>)>;

fn recorded() -> Layouts {
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/offsets.txt");
    let repository = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../tests/abi/offsets.txt");
    let found = if std::path::Path::new(own).is_file() { own } else { repository };
    let path = std::env::var("ORRERY_ABI_OFFSETS").unwrap_or_else(|_| found.into());
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let mut layouts = Layouts::new();
    let mut current = String::new();
    for line in text.lines() {
        let (name, number) = line.trim().rsplit_once(' ').unwrap_or_else(|| panic!("{path}: \"{line}\""));
        let number: usize = number.parse().unwrap_or_else(|_| panic!("{path}: \"{line}\""));
        if line.starts_with(' ') {
            layouts.get_mut(&current).expect("a struct before its members").1.push((name.into(), number));
        } else {
            current = name.into();
            layouts.insert(current.clone(), (number, Vec::new()));
        }
    }
    layouts
}

#[test]
fn mirrors_have_the_layout_of_the_header() {
    let recorded = recorded();
    for mirror in decay_sum::abi::layouts() {
        let (size, members) = recorded.get(mirror.name).unwrap_or_else(|| panic!("no {} is recorded", mirror.name));
        assert!(mirror.members.len() <= members.len(), "{}: {} members, recorded are {}", mirror.name, mirror.members.len(), members.len());
        for ((name, offset), (c_name, c_offset)) in mirror.members.iter().zip(members) {
            let name = name.trim_start_matches("r#");
            assert_eq!((name, *offset), (c_name.as_str(), *c_offset), "{}", mirror.name);
        }
        let whole = mirror.members.len() == members.len();
        assert!(if whole { mirror.size == *size } else { mirror.size < *size }, "{}: {} bytes, recorded are {size}", mirror.name, mirror.size);
    }
}
