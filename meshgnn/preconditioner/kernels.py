"""Compiled loops over sparse rows: ordering, factorisation, triangular solves.

Arrays are those of a CSR matrix: `start` [n + 1], `column` [nnz]. The loops carry no annotations
that are executed, since the compiler sees them instead.
"""

from typing import no_type_check

import numpy as np
from numba import njit


@njit(cache=True)
@no_type_check
def levels(start, column, rank, root, seen, mark, queue):
    """Breadth-first search from the root, neighbours by rank; nodes found, eccentricity, end.

    The end is the node of least degree and rank in the last level.
    """
    seen[root] = mark
    queue[0] = root
    count, depth, low, high = 1, -1, 0, 1
    first = 0
    while low < high:
        first, depth = low, depth + 1
        for q in range(low, high):
            begin = count
            for e in range(start[queue[q]], start[queue[q] + 1]):
                j = column[e]
                if seen[j] != mark:
                    seen[j] = mark
                    place = count
                    while place > begin and rank[queue[place - 1]] > rank[j]:
                        queue[place] = queue[place - 1]
                        place -= 1
                    queue[place] = j
                    count += 1
        low, high = high, count
    end = queue[first]
    for q in range(first, count):
        if rank[queue[q]] < rank[end]:
            end = queue[q]
    return count, depth, end


@njit(cache=True)
@no_type_check
def reverse_cuthill_mckee(start, column, rank):
    """Order [n] that gives neighbours near numbers; `rank` [n], a permutation, decides all ties.

    Raises: ValueError: a pattern that is not symmetric and leaves nodes out.
    """
    n = len(rank)
    by_rank = np.empty(n, np.int64)
    for i in range(n):
        by_rank[rank[i]] = i
    seen, queue = np.full(n, -1), np.empty(n, np.int64)
    done, order, mark, filled = np.zeros(n, np.bool_), np.empty(n, np.int64), 0, 0
    for i in by_rank:
        if done[i]:
            continue
        root, reached = i, -1
        while True:  # towards a node at the far end of the graph
            count, depth, end = levels(start, column, rank, root, seen, mark, queue)
            mark += 1
            if depth <= reached:
                break
            reached, root = depth, end
        for q in range(count):
            if not done[queue[q]]:
                done[queue[q]] = True
                order[filled] = queue[q]
                filled += 1
    if filled < n:
        raise ValueError("reverse_cuthill_mckee: expected a symmetric pattern")
    return order[::-1].copy()


@njit(cache=True)
@no_type_check
def incomplete_cholesky(start, column, entry, shift, lower, diagonal):
    """L of (1 + shift) I + (strict lower part) on its own pattern; the row of a bad pivot or -1.

    Columns ascend within rows. Writes `lower` [nnz] and `diagonal` [n].
    """
    for i in range(len(diagonal)):
        pivot = 1.0 + shift
        for e in range(start[i], start[i + 1]):
            j = column[e]
            total = entry[e]
            a, b = start[i], start[j]
            while a < e and b < start[j + 1]:
                if column[a] == column[b]:
                    total -= lower[a] * lower[b]
                    a += 1
                    b += 1
                elif column[a] < column[b]:
                    a += 1
                else:
                    b += 1
            lower[e] = total / diagonal[j]
            pivot -= lower[e] ** 2
        if not pivot > 1e-8:
            return i
        diagonal[i] = np.sqrt(pivot)
    return -1


@njit(cache=True)
@no_type_check
def dropped(start, column, lower, image):
    """R v, R = L Lᵀ - Â the fill that the pattern leaves out, from v in and R v out of `image`.

    Both sides of R; the diagonal and the pattern itself agree up to the shift.
    """
    n = len(start) - 1
    result = np.zeros(n)
    count = np.zeros(n + 1, np.int64)
    for e in range(len(column)):
        count[column[e] + 1] += 1
    count = np.cumsum(count)
    head, row, value = count.copy(), np.empty(len(column), np.int64), np.empty(len(column))
    for i in range(n):
        for e in range(start[i], start[i + 1]):
            place = head[column[e]]
            row[place], value[place] = i, lower[e]
            head[column[e]] += 1
    last = np.full(n, -1)
    for i in range(n):
        for e in range(start[i], start[i + 1]):
            last[column[e]] = i
        for e in range(start[i], start[i + 1]):
            k = column[e]
            for c in range(count[k], count[k + 1]):
                j = row[c]
                if j < i and last[j] != i:
                    result[i] += lower[e] * value[c] * image[j]
                    result[j] += lower[e] * value[c] * image[i]
    return result


@njit(cache=True)
@no_type_check
def solve(start, column, lower, inverse, order, scale, right):
    """z = S Πᵀ L⁻ᵀ L⁻¹ Π S r with the inverse diagonal of L, the order Π and the scaling S."""
    n = len(inverse)
    y, z = np.empty(n), np.empty(n)
    for i in range(n):
        total = scale[order[i]] * right[order[i]]
        for e in range(start[i], start[i + 1]):
            total -= lower[e] * y[column[e]]
        y[i] = total * inverse[i]
    for i in range(n - 1, -1, -1):
        value = y[i] * inverse[i]
        for e in range(start[i], start[i + 1]):
            y[column[e]] -= lower[e] * value
        z[order[i]] = scale[order[i]] * value
    return z
