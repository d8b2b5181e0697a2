"""One page of HTML that needs nothing but itself, made from folders of results: `page.write` is the way in.

`collect` reads folders, `evidence` says what is believed of a file; `sections` turn that into tables and figures, which
`charts` draw as scenes; `page` puts everything into the templates. Whatever comes from a file is taken for hostile.
"""
