module github.com/ddi-rs/ddi/gate-update

go 1.19
