// Sorting a million rows by a number: by 16 bits of it at a time, the lowest first.

function sortedBy(rows, key, down) {
  const n = rows.length;
  const keys = new Float64Array(n);
  // From 0 on, the bits of real numbers are in the order of the numbers.
  for (let i = 0; i < n; i++) keys[i] = key(rows[i]) + 1;
  const words = new Uint16Array(keys.buffer);
  let order = new Uint32Array(n),
    other = new Uint32Array(n);
  for (let i = 0; i < n; i++) order[i] = i;
  const places = new Uint32Array(65537);
  for (let digit = 0; digit < 4; digit++) {
    places.fill(0);
    for (let i = 0; i < n; i++) places[words[4 * i + digit] + 1]++;
    if (n && places[words[digit] + 1] === n) continue; // all have the same
    for (let i = 1; i < 65537; i++) places[i] += places[i - 1];
    for (let i = 0; i < n; i++) other[places[words[4 * order[i] + digit]]++] = order[i];
    [order, other] = [other, order];
  }
  // Equal ones stay in their order in both directions.
  if (down) {
    order.reverse();
    for (let i = 0; i < n;) {
      let j = i + 1;
      while (j < n && keys[order[j]] === keys[order[i]]) j++;
      order.subarray(i, j).reverse();
      i = j;
    }
  }
  for (let i = 0; i < n; i++) other[i] = rows[order[i]];
  return other;
}
