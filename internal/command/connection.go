package command

var connectionCommands = []Command{}
