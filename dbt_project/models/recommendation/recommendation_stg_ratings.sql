{#- Typed, and with the time that this use case goes by: `event_time`, how far a person's own history had come.

    People rate whole shelves in one sitting, years apart from one another, and recommenders are compared by cutting
    each person's own history. So the history of each runs over the same days of one clock: of n ratings the k-th happens
    at k/n of it. "The first 80 %" is then "up to day 800 of 1000" for everybody, and one cut in time is the protocol.
    The clock's pace comes from how many ratings a person has in the end, which no feature may read from it. -#}
{%- set span = var('recommendation_clock_days') * 86400000000 %}
with typed as (
    select
        cast(user_id as bigint) as user_id,
        cast(movie_id as bigint) as movie_id,
        cast(rating as double) as rating,
        cast(rated_at as timestamp) as rated_at
    from {{ source('raw_recommendation', 'ratings') }}
    where user_id is not null and movie_id is not null and rating is not null and rated_at is not null
),

placed as (
    select
        *,
        row_number() over (partition by user_id order by rated_at, movie_id) as position,
        count(*) over (partition by user_id) as of_all
    from typed
    -- Nobody's id: it stands for anyone, whoever they are.
    where user_id <> 0
)

select
    user_id,
    movie_id,
    rating,
    rating >= {{ var('recommendation_liked') }} as liked,
    rated_at,
    position,
    timestamp '{{ var('recommendation_origin') }}' + to_microseconds(position * {{ span }} // of_all) as event_time
from placed
