-- Typed; a movie without a title is called by its number. Nobody says when a movie entered the catalogue, so it counts as
-- known from the first day of the clock.
select
    cast(movie_id as bigint) as movie_id,
    coalesce(cast(title as varchar), 'movie ' || movie_id) as title,
    cast(year as integer) as year,
    nullif(cast(genres as varchar), '(no genres listed)') as genres,
    timestamp '{{ var('recommendation_origin') }}' as known_from
from {{ source('raw_recommendation', 'movies') }}
where movie_id is not null
qualify row_number() over (partition by movie_id order by title, year, genres) = 1
