module example.com/troodon

go 1.19
