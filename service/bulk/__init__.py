"""Files of posts in, files of answers out: any number of rows, interrupted and taken up again."""
