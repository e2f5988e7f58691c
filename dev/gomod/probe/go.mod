module kvring.dev/dev/probe

go 1.26.0
