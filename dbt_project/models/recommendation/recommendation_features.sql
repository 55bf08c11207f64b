{#- What is known at the moment of a request of each of its candidates: what the retrievers say (learned from ratings up to
    that moment), how the movie is rated, and how it fits the person. Person 0 has no history: what depends on one is
    missing for them. Sums of floats are compensated (fsum) and
    rounded: their last digits would depend on the order of summation. `because`, `title` and `genres` are shown, no model sees them. -#}
{%- set fading = 0.8 %}
with spine as (
    select example_id, request_id, user_id, profile_id, movie_id, event_time, asked_at
    from {{ ref('recommendation_spine') }}
),

requests as (
    select distinct request_id, profile_id, event_time, asked_at from spine
),

moments as (
    select distinct event_time from spine
),

known as (
    select m.event_time as moment, r.*
    from moments as m
    inner join {{ ref('recommendation_stg_ratings') }} as r on r.event_time <= m.event_time
),

overall as (
    select moment, count(*) as ratings, avg(rating) as mean_rating from known group by moment
),

movies_then as (
    select
        moment,
        movie_id,
        count(*) as ratings,
        count(*) filter (liked) as likes,
        sum(rating) as sum_rating,
        min(rated_at) as first_rated_at
    from known
    group by all
),

-- How often a movie was rated in the real year before somebody asks.
lately as (
    select a.event_time, a.asked_at, r.movie_id, count(*) as ratings
    from (select distinct event_time, asked_at from requests) as a
    inner join known as r
        on a.event_time = r.moment and r.rated_at <= a.asked_at and r.rated_at > a.asked_at - to_days(365)
    group by all
),

histories as (
    select
        q.request_id,
        r.movie_id,
        r.rating,
        r.liked,
        r.rated_at,
        r.rated_at > q.asked_at - to_hours(3) as same_sitting,
        avg(r.rating) over of_all as mean_rating,
        pow({{ fading }}, max(r.position) over of_all - r.position) as recency,
        m.year,
        m.genres,
        t.ratings as popularity
    from requests as q
    inner join known as r on q.event_time = r.moment and q.profile_id = r.user_id
    left join {{ ref('recommendation_stg_movies') }} as m on r.movie_id = m.movie_id
    left join movies_then as t on r.moment = t.moment and r.movie_id = t.movie_id
    window of_all as (partition by q.request_id)
),

people_then as (
    select
        request_id,
        count(*) as ratings,
        avg(cast(liked as integer)) as like_share,
        count(*) filter (same_sitting) as ratings_in_sitting,
        fsum(recency * popularity) / fsum(recency) as popularity_lately,
        fsum(recency * year) / fsum(recency) filter (year is not null) as year_lately,
        fsum(recency) as recency
    from histories
    group by request_id
),

movie_genres as (
    select movie_id, unnest(string_split(genres, '|')) as genre
    from {{ ref('recommendation_stg_movies') }}
    where genres is not null
),

genres_overall as (
    select k.moment, g.genre, count(*) / any_value(o.ratings) as share
    from known as k
    inner join movie_genres as g on k.movie_id = g.movie_id
    inner join overall as o on k.moment = o.moment
    group by all
),

genres_of_people as (
    select
        h.request_id,
        g.genre,
        count(*) as ratings,
        fsum(h.recency) as recency,
        sum(h.rating) - count(*) * any_value(h.mean_rating) as above_mean
    from histories as h
    inner join movie_genres as g on h.movie_id = g.movie_id
    group by all
),

-- Of each genre of a candidate: how much more of it the person sees than people do, at all and lately, and how much
-- better than others they rate it; the mean over its genres. 3 ratings of nobody in particular steady a short history.
affinities as (
    select
        s.example_id,
        favg((coalesce(u.ratings, 0) + 3 * o.share) / (p.ratings + 3) / o.share) as genre_affinity,
        favg(coalesce(u.recency, 0) / p.recency / o.share) as genre_lately,
        favg(coalesce(u.above_mean, 0) / (coalesce(u.ratings, 0) + 3)) as genre_taste
    from spine as s
    inner join people_then as p on s.request_id = p.request_id
    inner join movie_genres as g on s.movie_id = g.movie_id
    inner join genres_overall as o on s.event_time = o.moment and g.genre = o.genre
    left join genres_of_people as u on s.request_id = u.request_id and g.genre = u.genre
    group by s.example_id
)

select
    s.example_id,
    s.request_id,
    s.user_id,
    s.movie_id,
    s.event_time,
    coalesce(m.title, 'movie ' || s.movie_id) as title,
    coalesce(m.genres, '') as genres,
    b.title as because,
    case
        when p.ratings is null then 'unknown'
        when p.ratings < 50 then 'under 50'
        when p.ratings < 150 then '50 to 149'
        else '150 and more'
    end as history,
    c.rated_score,
    c.liked_score,
    c.recent_score,
    c.taste_score,
    c.factor_score,
    c.beside_score,
    c.after_score,
    c.recent_rank,
    c.liked_rank,
    c.beside_rank,
    c.after_rank,
    c.popular_rank,
    t.ratings as popularity,
    (t.likes + 2.5) / (t.ratings + 5) as movie_like_share,
    (t.sum_rating + 5 * o.mean_rating) / (t.ratings + 5) as movie_mean_rating,
    coalesce(l.ratings, 0) as ratings_last_year,
    date_diff('day', t.first_rated_at, s.asked_at) as days_since_first_rated,
    date_part('year', s.asked_at) - m.year as movie_age,
    round(m.year - p.year_lately, 6) as years_from_lately_seen,
    round(p.popularity_lately, 6) as popularity_lately,
    round(t.ratings / p.popularity_lately, 6) as popularity_ratio,
    round(a.genre_affinity, 6) as genre_affinity,
    round(a.genre_lately, 6) as genre_lately,
    round(a.genre_taste, 6) as genre_taste,
    p.ratings as ratings_so_far,
    p.like_share,
    p.ratings_in_sitting
from spine as s
inner join {{ ref('recommendation_candidates') }} as c
    on s.request_id = c.request_id and s.movie_id = c.movie_id and c.event_time <= s.event_time
inner join movies_then as t on s.event_time = t.moment and s.movie_id = t.movie_id
inner join overall as o on s.event_time = o.moment
left join {{ ref('recommendation_stg_movies') }} as m on s.movie_id = m.movie_id
left join {{ ref('recommendation_stg_movies') }} as b on c.because_id = b.movie_id
left join lately as l on s.event_time = l.event_time and s.asked_at = l.asked_at and s.movie_id = l.movie_id
left join people_then as p on s.request_id = p.request_id
left join affinities as a on s.example_id = a.example_id
