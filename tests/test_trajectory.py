"""Trajectories against the geometry of known curves, exact principal components, and stages of curves built by hand."""

import math

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d
from sklearn.decomposition import PCA
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

from devinterp_core.trajectory import (
    JointPCA,
    cusps,
    find_stages,
    forms,
    osculating_circles,
    smooth,
    smooth_curve,
    vertices,
)
from devinterp_core.trajectory.boundaries import significance_of_change

# joint principal components


def runs(num_features, seed=0, num_rows=(7, 1, 20, 12)):
    """Rows of four runs around a far-away mean, with falling variances along random directions."""
    generator = np.random.default_rng(seed)
    scales = 0.8 ** np.arange(num_features)
    mixing = np.linalg.qr(generator.standard_normal((num_features, num_features)))[0]
    rows = 5 + (generator.standard_normal((sum(num_rows), num_features)) * scales) @ mixing
    return np.split(rows, np.cumsum(num_rows)[:-1])


@pytest.mark.parametrize("num_features", [17, 39, 40, 41, 90])
@pytest.mark.parametrize("panel_rows", [1, 6, 1000])
def test_joint_pca_is_the_pca_of_the_stacked_rows(num_features, panel_rows):
    blocks = runs(num_features)
    exact = PCA(10, svd_solver="full").fit(np.concatenate(blocks))
    ours = JointPCA.fit(lambda: iter(blocks), 10, memory=8 * num_features * panel_rows)
    np.testing.assert_allclose(ours.mean, exact.mean_, atol=1e-12)
    np.testing.assert_allclose(ours.components, exact.components_, atol=1e-8)  # with the signs
    np.testing.assert_allclose(ours.explained_variance, exact.explained_variance_, rtol=1e-8)
    np.testing.assert_allclose(ours.explained_variance_ratio, exact.explained_variance_ratio_, rtol=1e-8)
    later = np.random.default_rng(1).standard_normal((2, 3, num_features))
    expected = exact.transform(later.reshape(6, -1)).reshape(2, 3, 10)
    np.testing.assert_allclose(ours.transform(later), expected, atol=1e-8)
    np.testing.assert_allclose(ours.components @ ours.components.T, np.eye(10), atol=1e-10)
    assert ours.num_rows == 40


def test_joint_pca_reads_arrays_and_lists_alike_and_signs_do_not_depend_on_the_blocks():
    rows = np.concatenate(runs(60)).astype(np.float32)
    fits = [JointPCA.fit(blocks, 3) for blocks in (rows, [rows[:13], rows[13:]], rows.reshape(4, 10, 60))]
    flipped = JointPCA.fit(-rows, 3)
    for fit in fits:
        np.testing.assert_allclose(fit.components, fits[0].components, atol=1e-10)
        assert (fit.components[np.arange(3), np.abs(fit.components).argmax(axis=1)] > 0).all()
    np.testing.assert_allclose(flipped.components, fits[0].components, atol=1e-10)
    np.testing.assert_allclose(fits[0].transform(rows).mean(axis=0), 0, atol=1e-5)
    assert fits[0].transform(rows[0]).shape == (3,)


def test_a_trajectory_in_a_plane_is_recovered_with_its_variances():
    angle = np.linspace(0, 2 * math.pi, 200, endpoint=False)
    plane = np.linalg.qr(np.random.default_rng(2).standard_normal((5000, 2)))[0].T
    fit = JointPCA.fit(3 + np.stack([4 * np.cos(angle), np.sin(angle)], axis=1) @ plane, 2)
    np.testing.assert_allclose(fit.explained_variance, [16 / 2 * 200 / 199, 1 / 2 * 200 / 199], rtol=1e-10)
    np.testing.assert_allclose(fit.explained_variance_ratio, [16 / 17, 1 / 17], rtol=1e-10)
    np.testing.assert_allclose(np.abs(np.sum(fit.components * plane, axis=1)), 1, rtol=1e-10)
    with pytest.raises(ValueError, match="rank 2 only"):
        JointPCA.fit(3 + np.stack([4 * np.cos(angle), np.sin(angle)], axis=1) @ plane, 3)


def test_joint_pca_refuses_bad_blocks():
    rows = np.concatenate(runs(6))
    with pytest.raises(ValueError, match="block 1 has 5 features, the blocks before it 6"):
        JointPCA.fit([rows, rows[:, :5]], 2)
    broken = rows.copy()
    broken[3, 2] = np.nan
    with pytest.raises(ValueError, match="block 1 has NaN or infinite values, first in its row 3"):
        JointPCA.fit([rows, broken], 2)
    for count in (0, 7):
        with pytest.raises(ValueError, match=r"must lie in 1 to 6.*got"):
            JointPCA.fit(rows, count)
    with pytest.raises(ValueError, match="must lie in 1 to 3"):
        JointPCA.fit(rows[:4], 4)
    with pytest.raises(ValueError, match="rank 0 only"):
        JointPCA.fit(np.full((9, 6), 0.1), 1)
    with pytest.raises(ValueError, match="only once"):
        JointPCA.fit(iter([rows]), 2)
    with pytest.raises(ValueError, match="two dimensions"):
        JointPCA.fit([rows[0]], 2)
    with pytest.raises(ValueError, match="hold 0 rows"):
        JointPCA.fit([], 2)
    passes = iter([[runs(60)[2]], [runs(60)[2][:15]]])
    with pytest.raises(ValueError, match="20 rows at the first pass and 15 at a later one"):
        JointPCA.fit(lambda: next(passes), 2)
    fit = JointPCA.fit(rows, 2)
    with pytest.raises(ValueError, match="5 features, those of the fit had 6"):
        fit.transform(rows[:, :5])
    with pytest.raises(ValueError, match="NaN"):
        fit.transform(broken)


# essential dynamics


def test_smoothing_keeps_constants_everywhere_and_straight_lines_inside():
    times = np.arange(600.0)
    np.testing.assert_allclose(smooth(np.full((600, 2, 3), 7.0)), 7.0, rtol=1e-14)
    line = smooth(np.stack([times, 5 - 2 * times], axis=1), start=1, end=20)
    inside = slice(6, 480)  # six standard deviations from the left edge, 120 checkpoints from the right one
    np.testing.assert_allclose(line[inside, 0], times[inside], atol=1e-10)
    np.testing.assert_allclose(line[inside, 1], 5 - 2 * times[inside], atol=1e-10)
    assert line[-1, 0] < times[-1] - 10  # drawn inwards by the cut kernel: 20 sqrt(2 / pi) = 16


def test_smoothing_damps_a_wave_by_the_transform_of_the_kernel():
    times = np.arange(2000)
    for sigma, frequency in ((1.5, 0.6), (5.0, 0.3), (30.0, 0.04)):
        wave = np.cos(frequency * times)
        inside = slice(200, -200)
        damped = math.exp(-(sigma**2) * frequency**2 / 2) * wave
        np.testing.assert_allclose(smooth(wave, sigma, sigma)[inside], damped[inside], atol=1e-7)


def test_smoothing_widens_linearly():
    times, frequency = np.arange(4001), 0.1
    analytic = np.stack([np.cos(frequency * times), np.sin(frequency * times)], axis=1)
    damping = np.linalg.norm(smooth(analytic, 2, 22), axis=1)
    sigma = 2 + 20 * times / 4000
    inside = slice(20, -140)
    np.testing.assert_allclose(damping[inside], np.exp(-(sigma**2) * frequency**2 / 2)[inside], atol=1e-7)


def test_smoothing_with_one_width_is_scipy_inside_and_zero_width_is_nothing():
    walk = np.random.default_rng(0).standard_normal((400, 3)).cumsum(axis=0)
    expected = gaussian_filter1d(walk, 4.3, axis=0, truncate=6.0)
    np.testing.assert_allclose(smooth(walk, 4.3, 4.3)[30:-30], expected[30:-30], atol=1e-12)
    np.testing.assert_array_equal(smooth(walk, 0, 0), walk)


def test_smoothing_refuses_bad_input():
    with pytest.raises(ValueError, match="not negative"):
        smooth(np.zeros(5), start=-1)
    with pytest.raises(ValueError, match="NaN"):
        smooth(np.array([0.0, np.nan]))
    with pytest.raises(ValueError, match="no checkpoints"):
        smooth(np.zeros((0, 2)))


# osculating circles


@pytest.mark.parametrize("sense", [1, -1])
def test_circle(sense):
    step = 0.01
    angle = sense * np.arange(0, 3, step)
    circles = osculating_circles(np.stack([2 + 3 * np.cos(angle), -1 + 3 * np.sin(angle)], axis=1))
    # the central differences of a circle have a closed form too: r' = 3 sin(h), r'' = 6 (1 - cos(h))
    radius = 3 * math.sin(step) ** 2 / (2 * (1 - math.cos(step)))
    np.testing.assert_allclose(circles.radius[1:-1], radius, rtol=1e-10)
    np.testing.assert_allclose(circles.curvature[1:-1], sense / radius, rtol=1e-10)
    np.testing.assert_allclose(circles.centre[1:-1], np.tile([2.0, -1.0], (len(angle) - 2, 1)), atol=1e-3)
    assert radius == pytest.approx(3, rel=1e-4)
    for values in (circles.radius, circles.curvature, circles.centre[:, 0]):
        assert np.isnan(values[[0, -1]]).all()
    assert vertices(circles) == [] and cusps(circles) == []  # all points are alike


def test_ellipse_evolute_is_a_stretched_astroid_with_four_vertices():
    a, b, points = 2.0, 1.0, 1200
    angle = np.linspace(-0.9, 2 * math.pi - 0.8, points)
    circles = osculating_circles(np.stack([a * np.cos(angle), b * np.sin(angle)], axis=1))
    astroid = np.stack([(a**2 - b**2) / a * np.cos(angle) ** 3, -(a**2 - b**2) / b * np.sin(angle) ** 3], axis=1)
    np.testing.assert_allclose(circles.centre[1:-1], astroid[1:-1], atol=1e-4)
    found = vertices(circles)
    np.testing.assert_allclose(
        angle[[mark.index for mark in found]], np.arange(4) * math.pi / 2, atol=angle[1] - angle[0]
    )
    for mark in found:
        assert mark.first < mark.index < mark.last and mark.kind == "vertex" and mark.prominence > 3
    assert sum(mark.last - mark.first + 1 for mark in found) == 35
    # the sharp ends of the major axis: radius b^2 / a there, a^2 / b at the minor axis
    sharp = cusps(circles)
    np.testing.assert_allclose(angle[[mark.index for mark in sharp]], [0, math.pi], atol=angle[1] - angle[0])
    np.testing.assert_allclose(circles.radius[[mark.index for mark in sharp]], b**2 / a, rtol=1e-4)
    assert sharp[1].prominence == pytest.approx(3 * math.log(a / b), rel=1e-3)


def test_parabola_has_one_vertex_and_its_evolute_is_a_semicubical_parabola():
    times = np.linspace(-1, 1.3, 461)
    circles = osculating_circles(np.stack([times, times**2], axis=1))
    np.testing.assert_allclose(circles.centre[1:-1, 0], -4 * times[1:-1] ** 3, atol=5e-4)
    np.testing.assert_allclose(circles.centre[1:-1, 1], 0.5 + 3 * times[1:-1] ** 2, atol=5e-4)
    assert [times[mark.index] for mark in vertices(circles)] == [pytest.approx(0, abs=1e-12)]


def test_logarithmic_spiral_radius_grows_with_arc_length_and_it_has_no_vertex():
    growth, angle = 0.2, np.linspace(0, 12, 4001)
    radius = np.exp(growth * angle)
    circles = osculating_circles(np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1))
    np.testing.assert_allclose(circles.radius[1:-1], (radius * math.sqrt(1 + growth**2))[1:-1], rtol=1e-5)
    # its evolute is the spiral itself, turned by a right angle and scaled by the growth
    evolute = growth * np.stack([-radius * np.sin(angle), radius * np.cos(angle)], axis=1)
    np.testing.assert_allclose(circles.centre[1:-1], evolute[1:-1], atol=2e-4)
    assert vertices(circles) == [] and cusps(circles) == []


def test_cycloid_evolute_is_a_shifted_cycloid_and_cusps_are_found():
    angle = np.linspace(-2, 14, 3201)
    circles = osculating_circles(np.stack([angle - np.sin(angle), 1 - np.cos(angle)], axis=1))
    away = np.abs(np.sin(angle / 2)) > 0.1
    away[[0, -1]] = False
    shifted = np.stack([angle + np.sin(angle), np.cos(angle) - 1], axis=1)
    np.testing.assert_allclose(circles.centre[away], shifted[away], atol=1e-3)
    np.testing.assert_allclose(circles.curvature[away], -1 / (4 * np.abs(np.sin(angle / 2)))[away], rtol=1e-3)
    sharp = cusps(circles)
    np.testing.assert_allclose(angle[[mark.index for mark in sharp]], [0, 2 * math.pi, 4 * math.pi], atol=0.005)
    assert min(mark.prominence for mark in sharp) > 4
    tops = vertices(circles, count=60)  # the evolute's own cusps
    np.testing.assert_allclose(angle[[mark.index for mark in tops]], [math.pi, 3 * math.pi], atol=0.005)


@pytest.mark.parametrize("shift", [0.0, 0.3, 0.5])
def test_semicubical_parabola_has_a_cusp_and_it_gets_sharper_with_more_points(shift):
    prominences = []
    for points in (100, 1000):
        times = (np.arange(-points, points + 1) + shift) / points
        (cusp,) = cusps(osculating_circles(np.stack([times**2, times**3], axis=1)))
        assert abs(times[cusp.index]) <= 1 / points
        assert cusp.kind == "cusp"
        prominences.append(cusp.prominence)
    assert prominences[1] - prominences[0] > math.log(8)  # the radius falls as the step: log 10 up to discretisation


def test_straight_reversing_and_repeated_points_have_documented_values():
    line = np.linspace(0.1, 0.7, 50)[:, None] * np.array([1.0, 3.0])
    circles = osculating_circles(line)
    assert (circles.curvature[1:-1] == 0).all() and np.isinf(circles.radius[1:-1]).all()
    assert np.isnan(circles.centre).all() and not circles.defined.any()
    assert vertices(circles) == [] and cusps(circles) == []

    back = osculating_circles(np.concatenate([line, line[-2::-1]]))
    assert back.curvature[49] == np.inf and back.radius[49] == 0
    np.testing.assert_array_equal(back.centre[49], line[-1])
    assert [mark.index for mark in cusps(back)] == [49]

    times = np.linspace(-1, 1, 21)
    curve = np.stack([times, times**2], axis=1)
    still = osculating_circles(np.concatenate([curve[:6], np.repeat(curve[5:6], 3, axis=0), curve[6:]]))
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(still.radius)), [0, 5, 6, 7, 8, 23])
    np.testing.assert_array_equal(still.defined, ~np.isnan(still.radius))


def test_osculating_circles_refuse_bad_input():
    with pytest.raises(ValueError, match="2 points, expected 3"):
        osculating_circles(np.zeros((2, 2)))
    with pytest.raises(ValueError, match="NaN"):
        osculating_circles(np.array([[0.0, 0.0], [1.0, np.nan], [2.0, 1.0]]))
    circles = osculating_circles(np.random.default_rng(0).standard_normal((9, 2)))
    for setting in ({"count": 0}, {"gap": 0}, {"min_prominence": -1.0}):
        with pytest.raises(ValueError, match="got"):
            vertices(circles, **setting)


def test_a_form_is_a_cusp_or_vertex_of_all_projections_at_once():
    times = np.arange(-300, 501) / 400
    # every linear image of a semicubical parabola has its cusp at the same time
    (form,) = forms(np.stack([times**2, times**3, times**2 / 2 - times**3], axis=1))
    assert abs(times[form.index]) <= 1 / 400
    assert set(form.marks) == {(0, 1), (0, 2), (1, 2)}
    assert all(mark.kind == "cusp" and abs(mark.index - 300) <= 1 for mark in form.marks.values())


def test_vertices_at_different_times_are_no_form_unless_tolerated():
    times = np.arange(-400, 801) / 400
    # vertices of the three parabolas at t = 0, t = 1 and, by symmetry, t = 1/2: checkpoints 400, 800 and 600
    curve = np.stack([times, times**2, (times - 1) ** 2], axis=1)
    assert forms(curve, tolerance=190) == []
    (form,) = forms(curve, tolerance=210)
    assert form.index == pytest.approx(600, abs=2)
    found = {pair: mark.index for pair, mark in form.marks.items()}
    assert found == {(0, 1): pytest.approx(400, abs=2), (0, 2): pytest.approx(800, abs=2), (1, 2): form.index}
    with pytest.raises(ValueError, match="expected 2 at least"):
        forms(curve[:, :1])
    with pytest.raises(ValueError, match="negative"):
        forms(curve, tolerance=-1)


# stages


def rise(steps, centre, width, height):
    """A smooth step in log time."""
    return height / (1 + np.exp(-(np.log(steps) - math.log(centre)) / width))


def two_rises_and_a_fall(steps):
    return rise(steps, 100, 0.5, 30) + rise(steps, 8000, 0.5, 60) - rise(steps, 120e3, 0.35, 25)


def linear_regression_like(steps):
    """Near the published curve: 20 at 1k, 170 at 40k, 157 at 126k, 112 at 350k, 117 at 500k."""
    return (
        rise(steps, 150, 0.3, 20) + rise(steps, 4200, 0.316, 151) - rise(steps, 70e3, 0.14, 15)
        - rise(steps, 210e3, 0.11, 45) + rise(steps, 430e3, 0.06, 6)
    )  # fmt: skip


def turning_points(function):
    """Extrema and least slopes of a curve without noise, by brute force: [plateau], [extremum]."""
    log_steps = np.linspace(0, math.log(5e5), 200_001)
    slope = np.gradient(function(np.exp(log_steps)), log_steps)
    size = np.abs(slope)
    extrema = np.flatnonzero(slope[1:] * slope[:-1] < 0)
    least = np.flatnonzero((size[1:-1] < size[:-2]) & (size[1:-1] <= size[2:])) + 1
    plateaus = [index for index in least if np.abs(extrema - index).min() > 10]
    return np.exp(log_steps[plateaus]), np.exp(log_steps[extrema])


def log_and_linear(points):
    return np.unique(np.r_[np.geomspace(1, 5e5, points).round(), np.linspace(5e3, 5e5, points).round()])


def test_smooth_curve_is_the_posterior_of_scikit_learn_and_its_draws_are_of_it():
    log_steps = np.linspace(0.5, 8, 30)
    values = 40 + 10 * np.sin(log_steps) + np.random.default_rng(0).standard_normal(30)
    error = np.linspace(0.2, 1.5, 30)
    curve = smooth_curve(log_steps, values, error, num_restarts=2, num_samples=4000, num_grid=60)
    scale = values.std()
    kernel = ConstantKernel(1.0, (1e-3, 1e3)) * Matern(3.0, (0.5, 1e3), nu=2.5) + WhiteKernel(0.1, (1e-6, 10))
    theirs = GaussianProcessRegressor(kernel, alpha=(error / scale) ** 2, normalize_y=True, random_state=0)
    theirs.fit(log_steps[:, None], values)
    mean, covariance = theirs.predict(curve.log_steps[:, None], return_cov=True)
    covariance = covariance - np.eye(60) * theirs.kernel_.k2.noise_level * scale**2
    np.testing.assert_allclose(curve.mean, mean, atol=1e-3 * scale)
    np.testing.assert_allclose(curve.covariance, covariance, atol=1e-3 * covariance.max())
    np.testing.assert_allclose(np.cov(curve.samples.T), covariance, atol=0.1 * covariance.max())
    np.testing.assert_allclose(curve.samples.mean(axis=0), mean, atol=4 * math.sqrt(covariance.max() / 4000))
    np.testing.assert_allclose(curve.slope[5:-5], 10 * np.cos(curve.log_steps[5:-5]), atol=3)
    spread = (curve.samples[:, 20] - curve.samples[:, 17]).std()  # neighbours move together: less than either's spread
    assert spread < 0.9 * math.hypot(*curve.standard_deviation[[17, 20]])
    expected = abs(curve.mean[20] - curve.mean[17]) / spread
    assert significance_of_change(curve, 17, 20) == pytest.approx(expected, rel=0.05)
    np.testing.assert_allclose(curve.standard_deviation, np.sqrt(np.diag(curve.covariance)))


def test_intervals_of_a_plateau_and_a_maximum_cover_the_truth():
    steps = np.unique(np.geomspace(1, 5e5, 60).round())
    (plateau,), (maximum,) = turning_points(two_rises_and_a_fall)
    covered, errors, changes = [], [], []
    for seed in range(20):
        noise = np.random.default_rng(seed).standard_normal(steps.size)
        result = find_stages(steps, two_rises_and_a_fall(steps) + noise, num_restarts=1, seed=seed)
        assert result.types == "AAB", seed
        assert [boundary.kind for boundary in result.boundaries] == ["plateau", "maximum"]
        for boundary, truth in zip(result.boundaries, (plateau, maximum)):
            low, high = boundary.interval
            assert low < high < 4 * low
            assert boundary.support > 0.8
            covered.append(low <= truth <= high)
            errors.append(math.log(boundary.step / truth))
        ends = [1, *(boundary.step for boundary in result.boundaries), 5e5]
        for stage, start, end in zip(result.stages, ends, ends[1:]):
            assert (stage.start, stage.end) == (pytest.approx(start, rel=0.03), pytest.approx(end, rel=0.03))
            change = np.diff(two_rises_and_a_fall(np.array([stage.start, stage.end]))).item()
            changes.append(stage.interval[0] <= change <= stage.interval[1])
            assert stage.direction == ("up" if stage.type == "A" else "down")
    errors = np.abs(np.reshape(errors, (20, 2)))
    assert errors[:, 0].max() < 0.8 and errors[:, 1].max() < 0.2
    assert np.mean(covered) >= 0.8 and np.mean(changes) >= 0.75  # of 90 % intervals, 40 and 60 of them


def test_stages_of_a_curve_like_the_papers():
    steps = log_and_linear(60)
    plateaus, extrema = turning_points(linear_regression_like)
    truth = np.sort([*plateaus, *extrema])
    error = np.full(steps.size, 0.5)
    for seed in range(3):
        noise = 0.5 * np.random.default_rng(seed).standard_normal(steps.size)
        result = find_stages(steps, linear_regression_like(steps) + noise, error, num_restarts=1)
        assert result.types == "AABBA", seed
        assert [boundary.kind for boundary in result.boundaries] == ["plateau", "maximum", "plateau", "minimum"]
        offsets = np.log([boundary.step for boundary in result.boundaries]) - np.log(truth)
        assert (np.abs(offsets) < [0.6, 0.35, 0.15, 0.06]).all(), offsets
        changes = [stage.change for stage in result.stages]
        np.testing.assert_allclose(changes, [20, 151, -15, -43, 5], atol=4)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_stage_is_split_at_every_plateau(sign):
    """Equal rises a factor of 100 apart in time: by symmetry the plateaus are at the geometric means of the centres."""
    steps = np.unique(np.geomspace(10, 1e9, 80).round())
    stairs = sum(rise(steps, centre, 0.6, 40) for centre in (1e2, 1e4, 1e6, 1e8))
    noise = 0.5 * np.random.default_rng(0).standard_normal(steps.size)
    result = find_stages(steps, sign * stairs + noise, np.full(steps.size, 0.5), num_restarts=1)
    assert result.types == {1: "AAAA", -1: "BBBB"}[sign]
    for boundary, truth in zip(result.boundaries, (1e3, 1e5, 1e7)):
        assert boundary.kind == "plateau"
        assert boundary.interval[0] < truth < boundary.interval[1]
        assert abs(math.log(boundary.step / truth)) < 1
        assert boundary.interval[1] < 10 * boundary.interval[0]  # sought between its own two rises
    for stage in result.stages[1:3]:
        assert stage.change == pytest.approx(sign * 40, abs=3)


@pytest.mark.parametrize("error", [None, 1.0])
def test_a_monotone_noisy_curve_is_one_stage_and_a_constant_one_is_none(error):
    steps = np.unique(np.geomspace(1, 1e5, 60).round())
    given = None if error is None else np.full(steps.size, error)
    for seed in range(5):
        noise = np.random.default_rng(seed).standard_normal(steps.size)
        constant = find_stages(steps, 5 + noise, given, num_restarts=1)
        assert constant.types == "" and constant.boundaries == [], seed
        (stage,) = find_stages(steps, rise(steps, 1e3, 1, 50) + noise, given, num_restarts=1).stages
        assert (stage.type, stage.start, stage.end) == ("A", pytest.approx(1), pytest.approx(steps[-1]))
        assert stage.interval[0] < stage.change < stage.interval[1]
        assert stage.change == pytest.approx(49.5, abs=4)
    (stage,) = find_stages(steps, -rise(steps, 1e3, 1, 50) + noise, given, num_restarts=1).stages
    assert stage.type == "B"


def test_the_smallest_change_that_counts_is_set_by_significance():
    steps = np.unique(np.geomspace(10, 1e5, 60).round())
    small = 20 * np.exp(-((np.log(steps) - 5) ** 2)) - rise(steps, 20e3, 0.3, 2)
    noise = 0.8 * np.random.default_rng(0).standard_normal(steps.size)
    kinds = [
        [boundary.kind for boundary in find_stages(steps, small + noise, significance=bar, num_restarts=1).boundaries]
        for bar in (4.0, 1000.0)
    ]
    assert kinds[0][:1] == ["maximum"] and kinds[1] == []


def test_curves_without_noise_and_steps_of_any_type():
    steps = np.concatenate([[0], np.unique(np.geomspace(1, 5e5, 50).round())])
    values = np.concatenate([[-1e3], two_rises_and_a_fall(steps[1:])])  # step 0 is left out, however wild
    plain = find_stages(steps, values, num_restarts=0)
    assert plain.types == "AAB"
    (plateau,), (maximum,) = turning_points(two_rises_and_a_fall)
    assert plain.boundaries[0].step == pytest.approx(plateau, rel=0.15)
    assert plain.boundaries[1].step == pytest.approx(maximum, rel=0.05)
    again = find_stages(steps.astype(np.uint32), values.astype(np.float64), num_restarts=0)
    assert again.boundaries == plain.boundaries and again.stages == plain.stages
    assert find_stages(steps, np.full(steps.size, 0.1), num_restarts=0).types == ""
    fall = find_stages(steps, -values, num_restarts=0)
    assert fall.types == "BBA" and [boundary.kind for boundary in fall.boundaries] == ["plateau", "minimum"]
    analytic = find_stages(steps, values, smoothness=math.inf, num_restarts=0)
    assert analytic.types[-3:] == "AAB" and analytic.curve.length_scale != plain.curve.length_scale


def test_find_stages_refuses_bad_input():
    steps, values = np.array([1, 2, 4, 8, 16, 32]), np.arange(6.0)
    with pytest.raises(ValueError, match="step 4.0 is followed by 2.0"):
        find_stages(steps[[0, 2, 1, 3, 4, 5]], values)
    with pytest.raises(ValueError, match="step 2.0 is followed by 2.0"):
        find_stages(steps[[0, 1, 1, 3, 4, 5]], values)
    with pytest.raises(ValueError, match="not be negative, got -1"):
        find_stages(np.array([-1, 2, 4, 8, 16, 32]), values)
    with pytest.raises(ValueError, match="4 positive steps are too few"):
        find_stages(np.array([0, 1, 2, 3, 4]), values[:5])
    with pytest.raises(ValueError, match="finite; point 2 is not"):
        find_stages(steps, np.where(values == 2, np.nan, values))
    with pytest.raises(ValueError, match="must not be negative; that of point 5 is"):
        find_stages(steps, values, 4.5 - values)
    for setting in (
        {"significance": 0.0}, {"plateau_fraction": 1.0}, {"level": 0.0}, {"num_samples": 3}, {"num_restarts": -1},
        {"smoothness": 1.5},
    ):  # fmt: skip
        with pytest.raises(ValueError, match="got"):
            find_stages(steps, values, **setting)
