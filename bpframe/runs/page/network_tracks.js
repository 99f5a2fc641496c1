// The arrays of a recording as the page holds them: float16 in base64, with a scale for each row.
const NetworkTracks = (() => {
  const half = (bits) => {
    const [exponent, fraction] = [(bits >> 10) & 31, bits & 1023];
    const size = exponent === 31 ? (fraction ? NaN : Infinity)
      : exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24;
    return bits & 0x8000 ? -size : size;
  };

  // A track of rows of so many numbers, or null where the array was not recorded.
  function track(packed, length) {
    if (!packed) return null;
    const text = atob(packed.halves);
    const at = (row, place) => {
      const i = 2 * (row * length + place);
      return half(text.charCodeAt(i) | (text.charCodeAt(i + 1) << 8)) * 2 ** packed.exponents[row];
    };
    const read = (row, start, n) => Float64Array.from({ length: n }, (_, i) => at(row, start + i));
    return {
      at: (time, start = 0, n = length) => read(packed.rows[time], start, n),
      stepAt: (time) => packed.steps[packed.rows[time]],
      // The largest size of the numbers from `start` to `start + n`, over all times.
      largest: (start = 0, n = length) =>
        Math.max(0, ...packed.steps.map((_, row) => largest(read(row, start, n)))),
    };
  }

  const largest = (values) => {
    let most = 0;
    for (const value of values) if (Number.isFinite(value)) most = Math.max(most, Math.abs(value));
    return most;
  };

  // The layers of a network, with their arrays; those of an example by at(time, example).
  function layers({ layers: told, examples }) {
    return told.map((layer, place) => {
      const n = layer.neurons.length;
      const before = told[place - 1];
      const ofExample = (packed) => {
        const found = track(packed, n * examples.length);
        return found && {
          at: (time, example) => found.at(time, example * n, n),
          stepAt: found.stepAt,
          largest: (example) => found.largest(example * n, n),
        };
      };
      return {
        ...layer, n,
        activations: ofExample(layer.activations),
        deltas: ofExample(layer.deltas),
        weights: before && track(layer.weights, n * before.neurons.length),
      };
    });
  }

  return { largest, layers };
})();
