"""Rules that act on several events at once (`when`): what they say (`spec`), what is remembered (`state`), and one file
for each kind of window with its decisions, which are pure. Postgres is `store`'s business, time passing `closing`'s."""
