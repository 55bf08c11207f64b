"""Two models of who rates what, both in closed form: the linear item model EASE, and factors by a truncated SVD.

EASE: Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019. With P = (X'X + penalty I)^-1 the weight
of movie j for movie c is -P_jc / P_cc, and 0 for j = c. X is people by movies, so P has a row for each of 9,066 movies;
by the identity P X' = X' (XX' + penalty I)^-1 everything follows from the smaller side, here 671 people.
"""

from typing import Self

import numpy as np
import numpy.typing as npt

__all__ = ["Ease", "factor_scores"]

Matrix = npt.NDArray[np.float64]


class Ease:
    """A fitted EASE: scores of people by their profiles, and what each movie contributes to another's score."""

    def __init__(self, known: Matrix, solved: Matrix) -> None:
        """`known`: X, float64[people, movies]; `solved`: (XX' + penalty I)^-1 X, of the same shape."""
        self._known = known
        self._solved = solved
        # Rows of these are picked: columns of the others take ten times as long.
        self._by_movie = np.ascontiguousarray(known.T), np.ascontiguousarray(solved.T)
        # penalty * P_cc of each movie c.
        self._diagonal = 1 - np.einsum("um,um->m", known, solved)

    @classmethod
    def fit(cls, known: Matrix, penalty: float) -> Self:
        """`known`: float64[people, movies], 1 where a person rated (or liked) a movie."""
        people, movies = known.shape
        solved = (
            np.linalg.solve(known @ known.T + penalty * np.eye(people), known)
            if people <= movies
            else np.linalg.solve(known.T @ known + penalty * np.eye(movies), known.T).T
        )
        return cls(known, np.asarray(solved, dtype=np.float64))

    def scores(self, profiles: Matrix) -> Matrix:
        """Score of each movie for each profile (float64[n, movies], how much each movie counts), float64[n, movies]."""
        scores: Matrix = profiles - (profiles - (profiles @ self._known.T) @ self._solved) / self._diagonal
        return scores

    def weights(self, of: npt.NDArray[np.int64], on: npt.NDArray[np.int64]) -> Matrix:
        """What each movie in `of` adds to the score of each in `on`, float64[len(of), len(on)]; the two share none."""
        known, solved = self._by_movie
        weights: Matrix = known[of] @ solved[on].T / self._diagonal[on]
        return weights


def factor_scores(known: Matrix, factors: int) -> Matrix:
    """`known` (float64[people, movies]) as its `factors` largest singular vectors tell it: PureSVD.

    Cremonesi, Koren and Turrin, "Performance of Recommender Algorithms on Top-N Recommendation Tasks", RecSys 2010.
    """
    people, movies = known.shape
    square = known @ known.T if people <= movies else known.T @ known
    largest = np.linalg.eigh(square)[1][:, -factors:]
    told: Matrix = largest @ (largest.T @ known) if people <= movies else (known @ largest) @ largest.T
    return told
