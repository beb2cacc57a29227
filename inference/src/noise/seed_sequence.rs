//! numpy's `SeedSequence`: hashes a seed and a place in a tree into independent seeds (O'Neill's
//! `seed_seq` design; numpy/random/bit_generator.pyx).

const INIT_A: u32 = 0x43b0_d7e5;
const MULT_A: u32 = 0x931e_8875;
const INIT_B: u32 = 0x8b51_f9dd;
const MULT_B: u32 = 0x58f3_8ded;
const MIX_LEFT: u32 = 0xca01_f9dd;
const MIX_RIGHT: u32 = 0x4973_f715;

/// Words of the pool: what torchsde asks for, on diffusers' behalf.
const POOL: usize = 24;

/// `SeedSequence(entropy=seed, spawn_key=place, pool_size=24).generate_state(COUNT)`.
pub(super) fn seeds<const COUNT: usize>(seed: u64, place: &[u64]) -> [u32; COUNT] {
    let pool = pool(seed, place);
    let mut hash = INIT_B;
    let mut next = 0;
    [(); COUNT].map(|()| {
        let mut word = pool[next % POOL] ^ hash;
        next += 1;
        hash = hash.wrapping_mul(MULT_B);
        word = word.wrapping_mul(hash);
        word ^ (word >> 16)
    })
}

fn pool(seed: u64, place: &[u64]) -> [u32; POOL] {
    // the seed's words fill the pool; the place's come after, and are mixed into all of it
    let mut pool = [0; POOL];
    pool[0] = seed as u32;
    pool[1] = (seed >> 32) as u32;
    let mut hash = Hash(INIT_A);
    pool.iter_mut().for_each(|word| *word = hash.of(*word));
    for source in 0..POOL {
        for target in (0..POOL).filter(|target| *target != source) {
            pool[target] = mix(pool[target], hash.of(pool[source]));
        }
    }
    for word in place.iter().flat_map(|number| words(*number)) {
        pool.iter_mut().for_each(|entry| *entry = mix(*entry, hash.of(word)));
    }
    pool
}

/// A number's 32-bit words, lowest first, as many as it needs.
fn words(number: u64) -> impl Iterator<Item = u32> {
    let high = (number >> 32) as u32;
    std::iter::once(number as u32).chain((high != 0).then_some(high))
}

struct Hash(u32);

impl Hash {
    fn of(&mut self, word: u32) -> u32 {
        let word = word ^ self.0;
        self.0 = self.0.wrapping_mul(MULT_A);
        let word = word.wrapping_mul(self.0);
        word ^ (word >> 16)
    }
}

fn mix(left: u32, right: u32) -> u32 {
    let mixed = MIX_LEFT.wrapping_mul(left).wrapping_sub(MIX_RIGHT.wrapping_mul(right));
    mixed ^ (mixed >> 16)
}
